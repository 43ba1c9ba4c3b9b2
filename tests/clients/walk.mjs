// What each client in JavaScript does: list the tools, buy, wait, look, and err. `node walk.mjs CLIENT TRANSPORT`.
// SERVER is the command line of the server as JSON, SERVER_URL its address over HTTP.
import assert from "node:assert/strict";

const [name, transport] = process.argv.slice(2);
const [command, ...args] = JSON.parse(process.env.SERVER);
const url = process.env.SERVER_URL;
const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => key !== "SERVER" && key !== "SERVER_URL"));

/** A client of the AI SDK: its tools are functions. */
async function aiSdk(version) {
  const { createMCPClient } = await import(`ai-sdk-mcp-${version}`);
  const { Experimental_StdioMCPTransport: Stdio } = await import(`ai-sdk-mcp-${version}/mcp-stdio`);
  const client = await createMCPClient({
    transport: transport === "stdio" ? new Stdio({ command, args, env }) : { type: "http", url },
  });
  const tools = await client.tools();
  return {
    names: Object.keys(tools),
    call: async (tool, input) => {
      try {
        return await tools[tool].execute(input, { toolCallId: "1", messages: [] });
      } catch (error) {
        return { isError: true, content: [{ type: "text", text: String(error.message ?? error) }] };
      }
    },
    close: () => client.close(),
  };
}

/** A client of the official SDK, 1.x or 2.x. */
async function official(Client, Stdio, Http, options) {
  const client = new Client({ name: "walk", version: "1" }, options);
  await client.connect(transport === "stdio" ? new Stdio({ command, args, env }) : new Http(new URL(url)));
  return {
    names: (await client.listTools()).tools.map((tool) => tool.name),
    call: (tool, input) => client.callTool({ name: tool, arguments: input }),
    close: () => client.close(),
  };
}

const CLIENTS = {
  "ai-sdk-1": () => aiSdk(1),
  "ai-sdk-2": () => aiSdk(2),
  "typescript-sdk-1": async () => {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StdioClientTransport } = await import("@modelcontextprotocol/sdk/client/stdio.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    return official(Client, StdioClientTransport, StreamableHTTPClientTransport);
  },
  "typescript-sdk-2": async () => {
    const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
    const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
    const options = { versionNegotiation: { mode: "auto" } };
    return official(Client, StdioClientTransport, StreamableHTTPClientTransport, options);
  },
};

const text = (result) => result.content.filter((part) => part.type === "text").map((part) => part.text).join("\n");

const client = await CLIENTS[name]();
assert(client.names.includes("create_image") && client.names.includes("view_generation"));

const bought = await client.call("create_image", { prompt: `a boat for ${name} over ${transport}`, format: null });
assert(!bought.isError, text(bought));
const id = text(bought).match(/[0-9a-f]{8}-[0-9a-f-]{27}/)[0];

const waited = await client.call("wait_for_generation", { generation_ids: [id] });
assert.match(text(waited), /is completed/);

const seen = await client.call("view_generation", { generation_id: id });
const pictures = seen.content.filter((part) => part.type === "image");
assert.equal(pictures.length, 1, text(seen));

const erred = await client.call("create_video", { prompt: "a boat", last_frame: "https://a.example/a.png" });
assert(erred.isError);
assert.match(text(erred), /It is called end_frame here/);

await client.close();
console.log(`${name} over ${transport}: ${client.names.length} tools, bought, waited, saw, erred`);
process.exit(0);
