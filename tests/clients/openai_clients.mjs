// Asks a server by openai-node and Vercel's AI SDK as they are, and prints what each understood, as JSON.
// node openai_clients.mjs FOLDER URL KEY QUESTION, where FOLDER holds node_modules.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [, , folder, baseURL, apiKey, question] = process.argv;
const { resolve } = createRequire(`${folder}/`);
const load = (name) => import(pathToFileURL(resolve(name)));
const { OpenAI } = await load("openai");
const { createOpenAI } = await load("@ai-sdk/openai");
const { generateText, streamText } = await load("ai");

const messages = [{ role: "user", content: question }];
const client = new OpenAI({ baseURL, apiKey });

async function askOpenAI() {
  const answer = await client.chat.completions.create({ model: "rag", messages });
  const { message, finish_reason } = answer.choices[0];
  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  return { models, text: message.content, annotations: message.annotations, finish_reason, usage: answer.usage };
}

async function streamOpenAI() {
  const stream = client.chat.completions.stream({ model: "rag", messages, stream_options: { include_usage: true } });
  const answer = await stream.finalChatCompletion();
  return { text: answer.choices[0].message.content, finish_reason: answer.choices[0].finish_reason, usage: answer.usage };
}

const sources = (found) => found.map(({ sourceType, url, title }) => ({ sourceType, url, title }));

async function askVercel() {
  const answer = await generateText({ model: createOpenAI({ baseURL, apiKey }).chat("rag"), messages });
  return { text: answer.text, sources: sources(answer.sources), finishReason: answer.finishReason, usage: answer.usage };
}

async function streamVercel() {
  const answer = streamText({ model: createOpenAI({ baseURL, apiKey }).chat("rag"), messages });
  let text = "";
  for await (const piece of answer.textStream) text += piece;
  return { text, sources: sources(await answer.sources), finishReason: await answer.finishReason };
}

console.log(JSON.stringify({
  openai: await askOpenAI(),
  "openai stream": await streamOpenAI(),
  vercel: await askVercel(),
  "vercel stream": await streamVercel(),
}));
