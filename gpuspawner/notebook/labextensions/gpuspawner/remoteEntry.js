// The container of the extension, written by hand: JupyterLab gives init() the modules that it shares, and asks get() for
// the plugin. That is all its loader wants (webpack.js.org, Module Federation, "Dynamic Remote Containers").
(() => {
  const base = document.currentScript.src;
  let shared = {};

  // JupyterLab's own copy of a package: the one in use, else the newest.
  async function load(name) {
    const versions = Object.entries(shared[name] ?? {});
    versions.sort(([one, { loaded: mine }], [other, { loaded: theirs }]) =>
      Number(Boolean(theirs)) - Number(Boolean(mine)) || other.localeCompare(one, "en", { numeric: true }),
    );
    return versions.length ? (await versions[0][1].get())() : undefined;
  }

  window._JUPYTERLAB ??= {};
  window._JUPYTERLAB.gpuspawner = {
    init: (scope) => {
      shared = scope;
    },
    get: async (name) => {
      if (name !== "./extension") {
        throw new Error(`gpuspawner has no module ${name}.`);
      }
      const { default: plugin } = await import(new URL("plugin.js", base));
      const found = await plugin(load);
      return () => ({ __esModule: true, default: found });
    },
  };
})();
