// A template's file goes straight from the browser to the server, with its progress: no page's messages carry it.
const said = (form, text, isBad) => {
  const place = form.querySelector('[data-upload-said]');
  place.textContent = text;
  place.classList.toggle('bad', !!isBad);
};

const size = bytes => bytes < 1048576 ? `${Math.ceil(bytes / 1024)} KiB` : bytes < 1073741824
  ? `${(bytes / 1048576).toFixed(0)} MiB` : `${(bytes / 1073741824).toFixed(2)} GiB`;

const problem = request => {
  try {
    const { cause, detail, next } = JSON.parse(request.responseText);
    return `${cause ?? detail}.${next ? ` Next: ${next}` : ''}`;
  } catch {
    return request.status ? `The server answered ${request.status}.` : 'The connection was cut before the file was through. Upload it again.';
  }
};

document.addEventListener('change', event => {
  const form = event.target.closest?.('form[data-upload]');
  if (form && event.target.name === 'of') {
    // A new version has its template's name, and its pool unless the command line says otherwise.
    const { of, name, pool } = form.elements;
    name.value = of.value;
    name.readOnly = !!of.value;
    if (pool) pool.disabled = !!of.value;
    return;
  }
  if (!form || event.target.name !== 'file' || form.elements.name.value) return;
  const file = event.target.files[0]?.name ?? '';
  form.elements.name.value = file.replace(/\.[^.]*$/, '').toLowerCase().replace(/[^a-z0-9-]+/g, '-').replace(/^-+|-+$/g, '');
});

document.addEventListener('submit', event => {
  const form = event.target.closest?.('form[data-upload]');
  if (!form) return;
  event.preventDefault();
  event.stopPropagation();
  const file = form.elements.file.files[0], name = form.elements.name.value.trim();
  const bar = form.querySelector('progress'), cancel = form.querySelector('[data-upload-cancel]');
  const send = form.querySelector('[type=submit]'), request = new XMLHttpRequest();
  const began = performance.now();
  const end = (text, isBad) => {
    bar.hidden = cancel.hidden = true;
    send.disabled = false;
    said(form, text, isBad);
  };
  request.upload.onprogress = at => {
    bar.value = at.total ? at.loaded * 100 / at.total : 0;
    const rate = at.loaded / Math.max(0.001, (performance.now() - began) / 1000);
    said(form, at.loaded < at.total ? `${size(at.loaded)} of ${size(at.total)}, ${size(rate)}/s` : 'Through; it is being checked and converted…');
  };
  request.onload = () => {
    if (request.status >= 300) return end(problem(request), true);
    form.reset();
    form.elements.name.readOnly = false;
    if (form.elements.pool) form.elements.pool.disabled = false;
    const { version = 1 } = JSON.parse(request.responseText || '{}');
    end(version > 1 ? `${name} version ${version} is there.` : `${name} is there.`);
  };
  request.onerror = () => end(problem(request), true);
  request.onabort = () => end('Cancelled: nothing of it is kept.');
  cancel.onclick = () => request.abort();
  const of = form.elements.of?.value, pool = of ? '' : form.elements.pool?.value, note = form.elements.note.value.trim();
  request.open('PUT', `/upload/templates/${encodeURIComponent(name)}?format=auto${of ? '&newVersion=true' : ''}`
    + `${pool ? `&pool=${encodeURIComponent(pool)}` : ''}${note ? `&note=${encodeURIComponent(note)}` : ''}`);
  request.setRequestHeader('Content-Type', 'application/octet-stream');
  bar.value = 0;
  bar.hidden = cancel.hidden = false;
  send.disabled = true;
  said(form, `Sending ${size(file.size)}…`);
  request.send(file);
});
