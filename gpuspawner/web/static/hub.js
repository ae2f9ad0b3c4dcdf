// What JupyterHub's own scripts expect on a page, from the data in its head. Classic, because they are.
{
  const { require: modules, jhdata } = JSON.parse(document.getElementById("gs-hub").textContent);
  window.require?.config(modules);
  window.jhdata = jhdata;
}
