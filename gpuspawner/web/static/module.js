// Loads one of JupyterHub's own modules on its page.
require([document.currentScript.dataset.module]);
