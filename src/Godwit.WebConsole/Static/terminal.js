// A guest's serial line. It lives longer than one connection: what was on the screen stays, and one dim line says what happened.
(() => {
  const place = document.getElementById('terminal');
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

  // Typed while the line was cut: such keys are lost, as on any serial line.
  let socket = null;
  const encoder = new TextEncoder();
  const send = bytes => { if (socket?.readyState === WebSocket.OPEN) socket.send(bytes); };
  terminal.onData(text => send(encoder.encode(text)));
  terminal.onBinary(text => send(Uint8Array.from(text, letter => letter.charCodeAt(0))));

  const dim = text => terminal.write(`\r\n\x1b[2m[${text}]\x1b[0m\r\n`);

  stayConnected({
    place, seat: 'console', moved: to => dim(`moved to ${to}; the console goes on there`),
    connect: (address, line) => {
      const one = socket = new WebSocket(address);
      one.binaryType = 'arraybuffer';
      one.onopen = line.opened;
      one.onmessage = message => {
        line.heard();
        terminal.write(new Uint8Array(message.data));
      };
      one.onclose = line.closed;
      return () => one.close();
    },
  });
})();
