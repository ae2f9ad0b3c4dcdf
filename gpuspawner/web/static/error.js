// JupyterHub counts its redirects in the address; a page that is shown at last begins anew.

const address = new URL(window.location);
if (address.searchParams.has("redirects")) {
  address.searchParams.delete("redirects");
  window.history.replaceState({}, "", address);
}
