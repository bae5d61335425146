// Calls the three tools of /mcp by the protocol's own SDK. Arguments: where the SDK is installed, address, key, question.
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, url, key, question] = process.argv.slice(2);
const require = createRequire(join(folder, "package.json"));
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");

const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { "x-api-key": key } } });
const client = new Client({ name: "ask_mcp", version: "1.0.0" });
await client.connect(transport);
const { tools } = await client.listTools();
const progress = [];
const hear = { onprogress: ({ progress: step }) => progress.push(step) };
const asked = await client.callTool({ name: "ask", arguments: { question } }, undefined, hear);
const found = await client.callTool({ name: "search", arguments: { question, top_k: 1 } });
const chunk_id = asked.structuredContent.citations[0].chunk_id;
const read = await client.callTool({ name: "get_source", arguments: { chunk_id } });
const cancelling = new AbortController();
const cancelled = client.callTool({ name: "ask", arguments: { question } }, undefined, { signal: cancelling.signal });
cancelling.abort();
const reason = await cancelled.then(() => "answered", () => "cancelled");
await transport.terminateSession();
await client.close();
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), progress, asked, found, read, reason }));
