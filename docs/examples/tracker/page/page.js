// The tracker's page: it lists tickets, changes a title, attaches files and offers them for saving.

const $ = (id) => document.getElementById(id);
let next = '/api/tickets';
let shown = null;

/** A request that changes something: with the header that proves that this page sends it, and a key of its own. */
async function write(method, path, body, type = 'application/json') {
  const headers = { 'X-BFF': '1', 'Idempotency-Key': crypto.randomUUID() };
  if (body !== undefined) headers['Content-Type'] = type;
  const answer = await fetch(path, { method, headers, body });
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer.status === 204 ? null : answer.json();
}

async function read(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer;
}

/** Run what a click began, and say how it ended. */
async function run(work, done = '') {
  try {
    await work();
    $('message').value = done;
  } catch (error) {
    $('message').value = `That failed: ${error.message}`;
  }
}

async function listMore() {
  const answer = await read(next);
  const { rows, states } = await answer.json();
  for (const { ticket, assignee } of rows) {
    const button = document.createElement('button');
    button.textContent = ticket.title;
    button.dataset.ticket = ticket.id;
    button.onclick = () => run(() => show(ticket.id));
    const state = states.data?.[ticket.state] ?? ticket.state;
    const item = document.createElement('li');
    item.append(button, ` ${state} ${assignee?.data?.full_name ?? ''}`);
    $('tickets').append(item);
  }
  // The address of the next page is in the answer; there is none on the last page.
  next = answer.headers.get('link')?.match(/<([^>]*)>/)?.[1];
  $('more').hidden = !next;
}

async function show(id) {
  const { ticket } = await (await read(`/api/tickets/${id}`)).json();
  shown = id;
  $('edit').elements.title.value = ticket.title;
  await listFiles();
  $('ticket').hidden = false;
}

const addressOf = (name) => `/api/tickets/${shown}/files/${encodeURIComponent(name)}`;

async function listFiles() {
  const files = await (await read(`/api/tickets/${shown}/files`)).json();
  $('files').replaceChildren(
    ...files.map(({ name, size, type }) => {
      const link = document.createElement('a');
      link.href = addressOf(name);
      link.textContent = `${name} (${size} bytes)`;
      link.download = name;
      const item = document.createElement('li');
      item.append(link);
      if (type.startsWith('image/')) {
        const image = document.createElement('img');
        image.src = link.href;
        image.alt = name;
        item.append(image);
      }
      return item;
    }),
  );
}

/** Send a file as it is. XMLHttpRequest says how far an upload is; fetch does not. */
function upload(file) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('PUT', addressOf(file.name));
    request.setRequestHeader('X-BFF', '1');
    request.setRequestHeader('Content-Type', file.type || 'application/octet-stream');
    request.upload.onprogress = ({ loaded, total }) => ($('sent').value = loaded / total);
    request.onload = () => (request.status < 300 ? resolve() : reject(new Error(request.responseText)));
    request.onerror = () => reject(new Error('the connection was lost'));
    $('sent').hidden = false;
    request.send(file);
  });
}

$('more').onclick = () => run(listMore);
$('edit').onsubmit = (event) => {
  event.preventDefault();
  const title = $('edit').elements.title.value;
  run(async () => {
    await write('PATCH', `/api/tickets/${shown}`, JSON.stringify({ title }));
    document.querySelector(`[data-ticket="${shown}"]`).textContent = title;
  }, 'Saved');
};
$('attach').onsubmit = (event) => {
  event.preventDefault();
  run(async () => {
    await upload($('attach').elements.file.files[0]);
    await listFiles();
  }, 'Attached');
};
run(listMore);
