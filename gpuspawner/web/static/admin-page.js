// What JupyterHub's administration expects before it starts.
{
  const { pageLimit, baseUrl } = document.getElementById("react-admin-hook").dataset;
  window.api_page_limit = Number.parseInt(pageLimit, 10);
  window.base_url = baseUrl;
}
