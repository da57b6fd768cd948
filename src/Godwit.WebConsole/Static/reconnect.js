// One connection after another to what of a guest is shown on this page, each by a ticket of its own: where a move cuts one, the next
// leads to the new owner. `connect` begins one and answers with what ends it; `moved` is told the new owner.
globalThis.stayConnected = ({ place, seat, connect, moved }) => {
  const triesMax = 40, againMs = 500, workedMs = 2000;
  const state = document.getElementById('state'), vm = place.dataset.vm;
  let owner = null, tries = 0, isLeft = false, leave = () => {};
  addEventListener('pagehide', () => { isLeft = true; leave(); });

  const say = text => { state.textContent = text; };

  const ticket = async () => {
    const answer = await fetch(`/${seat}/${encodeURIComponent(vm)}/ticket`, { method: 'POST', headers: { Accept: 'application/json' } });
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) return told;
    const isFinal = answer.status === 401 || answer.status === 403 || told.code === 'vm-not-found' || told.code === 'display-none';
    throw Object.assign(new Error(`${told.cause ?? `the server answered ${answer.status}`}.${told.next ? ` Next: ${told.next}` : ''}`),
      { isFinal });
  };

  const again = why => {
    if (isLeft) return;
    if (++tries > triesMax) return say(`${why} It did not come back: load this page again once the VM runs.`);
    say(tries > 2 ? `${why} Trying again…` : 'reconnecting…');
    setTimeout(next, againMs);
  };

  const next = async () => {
    let told;
    try {
      told = await ticket();
    } catch (problem) {
      return problem.isFinal ? say(problem.message) : again(problem.message);
    }
    const began = performance.now();
    let isHeard = false;
    const way = location.protocol === 'https:' ? 'wss' : 'ws';
    leave = connect(`${way}://${location.host}/api/v1/vms/${told.vm}/${seat}?ticket=${told.ticket}`, {
      opened: () => {
        if (owner !== null && told.owner && told.owner !== owner) moved(told.owner);
        owner = told.owner ?? '';
        say(told.owner ? `on ${told.owner}` : 'connected');
        place.dataset.state = 'open';
      },
      heard: () => { isHeard = true; },
      closed: () => {
        place.dataset.state = 'cut';
        if (isHeard || performance.now() - began > workedMs) tries = 0;
        again(`The guest’s ${seat} is not there.`);
      },
    });
  };
  next();
};
