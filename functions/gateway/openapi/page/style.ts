/** Of the page; its hash is in the page's policy. */
export const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; }
h2 { border-bottom: 1px solid #8888; margin-top: 3rem; }
article { margin: 2rem 0; }
nav ul { columns: 20rem; list-style: none; padding: 0; }
code, pre { font: 0.9em/1.4 ui-monospace, monospace; }
pre { background: #8882; overflow-x: auto; padding: 0.75rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-top: 1px solid #8884; padding: 0.25rem 0.5rem; text-align: left; vertical-align: top; }
td:first-child { white-space: nowrap; }
summary { cursor: pointer; }
.method { font-weight: bold; text-transform: uppercase; }
`;
