// A guest's display. It lives longer than one connection: the last picture stays until the next one comes, and one dim line says what
// happened.
const place = document.getElementById('display'), said = document.getElementById('said');
const { default: Viewer } = await import(place.dataset.viewer);
let viewer = null, still = null;

document.getElementById('ctrl-alt-del').addEventListener('click', () => {
  viewer?.sendCtrlAltDel();
  viewer?.focus();
});

const keep = picture => {
  still = Object.assign(new Image(), { src: picture, alt: 'The last picture before the connection was cut' });
  place.append(still);
};

stayConnected({
  place, seat: 'display', moved: to => { said.textContent = `moved to ${to}; the display goes on there`; },
  connect: (address, line) => {
    const one = viewer = new Viewer(place, address, { shared: true });
    one.scaleViewport = true;
    one.background = 'transparent';
    let isOpen = false;
    one.addEventListener('connect', () => {
      isOpen = true;
      still?.remove();
      still = null;
      line.heard();
      line.opened();
      one.focus();
    });
    one.addEventListener('disconnect', () => {
      if (isOpen) keep(one.toDataURL());
      line.closed();
    });
    return () => one.disconnect();
  },
});
