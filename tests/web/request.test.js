/** A request of a command from its declared path. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createRequest } from '../../web/client/request.js';

test('parameters of the path are escaped, so that a value stays one segment', () => {
  const { url, method, body } = createRequest('POST', '/api/tickets/{id}/close', {
    path: { id: '../a b/ü' },
    body: { by: 1 },
  });
  assert.equal(url, '/api/tickets/..%2Fa%20b%2F%C3%BC/close');
  assert.deepEqual([method, body], ['POST', { by: 1 }]);
});

test('a missing parameter of the path is an error, not another address', () => {
  assert.throws(() => createRequest('DELETE', '/api/notes/{id}'), /\/api\/notes\/\{id\}: id is missing/);
});

test('in the query a list repeats its name, and what is undefined is left out', () => {
  const { url } = createRequest('POST', '/api/find', {
    query: { tag: ['a&b', 'c'], page: 2, none: undefined },
  });
  assert.equal(url, '/api/find?tag=a%26b&tag=c&page=2');
  assert.equal(createRequest('POST', '/api/find', { query: { none: undefined } }).url, '/api/find');
});
