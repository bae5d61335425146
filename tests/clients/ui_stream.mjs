// Asks a server as a page with Vercel's `useChat` does, by the SDK's own transport, and prints what the page would show.
// node ui_stream.mjs FOLDER URL KEY QUESTION, where FOLDER holds node_modules.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [, , folder, url, key, question] = process.argv;
const { resolve } = createRequire(`${folder}/`);
const load = (name) => import(pathToFileURL(resolve(name)));
const { DefaultChatTransport, parseJsonEventStream, readUIMessageStream, uiMessageChunkSchema } = await load("ai");

const textOf = (message) => message.parts.filter((part) => part.type === "text").map((part) => part.text).join("");
const asks = (id, text) => ({ id, role: "user", parts: [{ type: "text", text }] });
const headers = (key) => ({ "x-api-key": key, "x-vercel-ai-ui-message-stream": "v1" });

const connect = (key) =>
  new DefaultChatTransport({
    api: `${url}/query/stream`,
    headers: headers(key),
    prepareSendMessagesRequest: ({ messages }) => {
      const turns = messages.map((message) => ({ role: message.role, content: textOf(message) }));
      return { body: { question: turns.at(-1).content, history: turns.slice(0, -1).slice(-10) } };
    },
  });

async function ask(messages, key) {
  const stream = await connect(key).sendMessages({ chatId: "1", trigger: "submit-message", messages });
  let shown;
  for await (const message of readUIMessageStream({ stream, terminateOnError: true })) shown = message;
  return shown;
}

async function validate() {
  const body = JSON.stringify({ question });
  const sent = { ...headers(key), "content-type": "application/json" };
  const response = await fetch(`${url}/query/stream`, { method: "POST", headers: sent, body });
  const kinds = new Set();
  const invalid = [];
  for await (const part of parseJsonEventStream({ stream: response.body, schema: uiMessageChunkSchema })) {
    if (part.success) kinds.add(part.value.type);
    else invalid.push(String(part.error));
  }
  return { kinds: [...kinds], invalid };
}

const first = asks("1", question);
const message = await ask([first], key);
const followUp = await ask([first, message, asks("2", "And is a note needed for sick leave?")], key);
const refused = await ask([first], "stranger").catch((error) => JSON.parse(error.message));
console.log(JSON.stringify({ message, follow_up: textOf(followUp), refused, ...(await validate()) }));
