// Where in the server the visitor wanted to go stays in the address; a hub that starts servers unasked waits a moment.

const button = document.getElementById("start");
if (window.location.hash) {
  button.href += window.location.hash;
}
if (button.dataset.gsAfter) {
  setTimeout(() => window.location.assign(button.href), 1000 * Number(button.dataset.gsAfter));
}
window._jupyterhub_page_loaded = true; // as on JupyterHub's own page
