// A guest's serial line. It lives longer than one connection: where a move cuts that, this page asks for a new ticket and goes on
// at the new owner; what was on the screen stays, and one dim line says what happened.
(() => {
  const triesMax = 40, againMs = 500, workedMs = 2000;
  const place = document.getElementById('terminal'), state = document.getElementById('state'), vm = place.dataset.vm;
  const terminal = new Terminal({
    cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches, fontSize: 14, scrollback: 5000, screenReaderMode: true,
    fontFamily: "ui-monospace, 'DejaVu Sans Mono', monospace",
    theme: { background: '#0f1218', foreground: '#dfe3ea', cursor: '#93a8ff', selectionBackground: '#3a4a86' },
  });
  const fit = new FitAddon.FitAddon();
  terminal.loadAddon(fit);
  terminal.open(place);
  fit.fit();
  new ResizeObserver(() => fit.fit()).observe(place);
  terminal.focus();

  const encoder = new TextEncoder();
  let socket = null, owner = null, tries = 0, isLeft = false;
  addEventListener('pagehide', () => { isLeft = true; socket?.close(); });

  // Typed while the line was cut: such keys are lost, as on any serial line.
  const send = bytes => { if (socket?.readyState === WebSocket.OPEN) socket.send(bytes); };
  terminal.onData(text => send(encoder.encode(text)));
  terminal.onBinary(text => send(Uint8Array.from(text, letter => letter.charCodeAt(0))));

  const dim = text => terminal.write(`\r\n\x1b[2m[${text}]\x1b[0m\r\n`);
  const say = text => { state.textContent = text; };

  const ticket = async () => {
    const answer = await fetch(`/console/${encodeURIComponent(vm)}/ticket`, { method: 'POST', headers: { Accept: 'application/json' } });
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) return told;
    throw Object.assign(new Error(`${told.cause ?? `the server answered ${answer.status}`}.${told.next ? ` Next: ${told.next}` : ''}`),
      { isFinal: answer.status === 401 || answer.status === 403 || told.code === 'vm-not-found' });
  };

  const again = why => {
    if (isLeft) return;
    if (++tries > triesMax) return say(`${why} It did not come back: load this page again once the VM runs.`);
    say(tries > 2 ? `${why} Trying again…` : 'reconnecting…');
    setTimeout(connect, againMs);
  };

  const connect = async () => {
    let told;
    try {
      told = await ticket();
    } catch (problem) {
      return problem.isFinal ? say(problem.message) : again(problem.message);
    }
    const began = performance.now();
    let isHeard = false;
    socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/vms/${told.vm}/console?ticket=${told.ticket}`);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      const where = told.owner ? `on ${told.owner}` : 'connected';
      if (owner !== null && told.owner && told.owner !== owner) dim(`moved to ${told.owner}; the console goes on there`);
      owner = told.owner ?? '';
      say(where);
      place.dataset.state = 'open';
    };
    socket.onmessage = message => {
      isHeard = true;
      terminal.write(new Uint8Array(message.data));
    };
    socket.onclose = () => {
      place.dataset.state = 'cut';
      if (isHeard || performance.now() - began > workedMs) tries = 0;
      again('The guest’s console is not there.');
    };
  };
  connect();
})();
