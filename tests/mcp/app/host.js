/** A host for MCP Apps: the official bridge, a sandboxed frame, and the policy that the resource asks for. */
import { AppBridge, PostMessageTransport, getToolUiResourceUri } from "@modelcontextprotocol/ext-apps/app-bridge";

const ALL = { openLinks: {}, serverTools: {}, logging: {}, updateModelContext: { text: {} } };

/** Shows a tool's page and hands it what was asked and answered. `carryToTheServer` is given by the test. */
export async function show({ tool, input, result, resource, theme, capabilities = ALL, variables }) {
  window.seen = { links: [], context: [], sizes: [], uri: getToolUiResourceUri(tool) };
  const frame = document.createElement("iframe");
  frame.id = "app";
  frame.setAttribute("sandbox", "allow-scripts");
  frame.style.cssText = "display:block;width:100%;height:100vh;border:0";
  frame.srcdoc = `<meta http-equiv="Content-Security-Policy" content="${policy(resource._meta?.ui?.csp ?? {})}">` + resource.text;
  const hostContext = { theme, displayMode: "inline", ...(variables ? { styles: { variables } } : {}) };
  const bridge = new AppBridge(null, { name: "host", version: "1" }, capabilities, { hostContext });
  bridge.oncalltool = async (params) => JSON.parse(await window.carryToTheServer(JSON.stringify(params)));
  bridge.onopenlink = async ({ url }) => { window.seen.links.push(url); return {}; };
  bridge.onupdatemodelcontext = async (params) => { window.seen.context.push(params); return {}; };
  bridge.onsizechange = (params) => window.seen.sizes.push(params);
  bridge.oninitialized = async () => {
    if (input) await bridge.sendToolInput({ arguments: input });
    if (result) await bridge.sendToolResult(result);
  };
  document.body.replaceChildren(frame);
  await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  window.bridge = bridge;
}

/** As hosts build it: nothing but what the resource names. */
function policy({ resourceDomains = [], connectDomains = [] }) {
  const from = resourceDomains.join(" ");
  return [
    "default-src 'none'", `script-src 'unsafe-inline' ${from}`, `style-src 'unsafe-inline' ${from}`,
    `img-src data: ${from}`, `media-src data: blob: ${from}`, `font-src data: ${from}`,
    `connect-src ${connectDomains.join(" ") || "'none'"}`, "frame-src 'none'", "base-uri 'none'", "form-action 'none'",
  ].join("; ");
}
