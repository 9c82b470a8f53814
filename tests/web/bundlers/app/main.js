// The page that every bundler builds: it follows one value, and says how.
import { createClient } from 'bff-client';

const client = createClient();
const shown = document.body.appendChild(document.createElement('output'));
const draw = () =>
  (shown.textContent = `${client.connection.get()} ${client.value('desk/support').get()?.data.open ?? '?'}`);
client.connection.subscribe(draw);
client.value('desk/support').subscribe(draw);
client.subscribe(['desk/support']);
client.start({ userId: 'ada' });
