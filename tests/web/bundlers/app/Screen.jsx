'use client';
// The same page in React. The client is created when the module is loaded, on the server, too.
import { createClient } from 'bff-client';
import { useConnection, useValue } from 'bff-client/react';
import { useEffect } from 'react';

const client = createClient();

export default function Screen() {
  const connection = useConnection(client);
  const desk = useValue(client, 'desk/support');
  useEffect(() => {
    client.start({ userId: 'ada' });
    return () => client.stop();
  }, []);
  return <output>{`${connection} ${desk?.data.open ?? '?'}`}</output>;
}
