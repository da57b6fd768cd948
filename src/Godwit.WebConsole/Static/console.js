// What Blazor does not do: the choice of light or dark, and a few gestures of the browser's own.
(() => {
  const root = document.documentElement;
  const isDark = () => root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;

  document.addEventListener('click', event => {
    if (event.target.closest('[data-theme-switch]')) {
      root.dataset.theme = isDark() ? 'light' : 'dark';
      document.cookie = `godwit-theme=${root.dataset.theme};path=/;max-age=31536000;secure;samesite=strict`;
    }
    if (event.target.closest('[data-reload]')) location.reload();
  });

  let dragged = null; // The card under way.

  // A browser begins no drag without something to carry, and draws the whole card under the pointer: one label is enough.
  document.addEventListener('dragstart', event => {
    const card = event.target.closest?.('[data-drag]');
    if (!card) return;
    dragged = card;
    event.dataTransfer.setData('text/plain', card.dataset.drag);
    event.dataTransfer.effectAllowed = 'move';
    const label = document.createElement('div');
    label.className = 'gw-drag-label';
    label.textContent = card.dataset.drag;
    document.body.append(label);
    event.dataTransfer.setDragImage(label, 12, 12);
    setTimeout(() => label.remove());
  });

  // Here and not at the server: who drops quickly would be there before the server's word that a host may be dropped on.
  document.addEventListener('dragover', event => {
    const host = dragged && event.target.closest?.('[data-host]');
    if (host && !host.classList.contains('refused') && !host.contains(dragged)) event.preventDefault();
  });
  document.addEventListener('dragend', () => { dragged = null; });

  // "/" goes to the search field, as people know it.
  document.addEventListener('keydown', event => {
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.target.closest('input, textarea, [contenteditable]')) return;
    const search = document.querySelector('input[type=search]');
    if (search) { event.preventDefault(); search.focus(); }
  });
})();
