"""Ask a server by the clients of others with their default settings, and print what each of them understood, as JSON.

Runs without the project's packages: `python -S openai_clients.py URL KEY QUESTION` with the clients on PYTHONPATH.
"""

import asyncio
import json
import sys
from typing import Any

import openai
from langchain_openai import ChatOpenAI
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

MESSAGES: Any = [{"role": "system", "content": "Be brief."}]


def ask_openai(url: str, key: str, question: str) -> Any:
    client = openai.OpenAI(base_url=url, api_key=key)
    answer = client.chat.completions.create(model="rag", messages=[*MESSAGES, {"role": "user", "content": question}])
    (choice,) = answer.choices
    return {
        "models": [model.id for model in client.models.list()],
        "text": choice.message.content,
        "annotations": [each.model_dump() for each in choice.message.annotations or []],
        "finish_reason": choice.finish_reason,
        "usage": answer.usage.model_dump(exclude_none=True) if answer.usage else None,
        "citations": answer.model_extra["citations"] if answer.model_extra else None,
    }


def stream_openai(url: str, key: str, question: str) -> Any:
    client = openai.OpenAI(base_url=url, api_key=key)
    stream = client.chat.completions.create(
        model="rag",
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
    )
    return read_chunks(list(stream))


async def stream_openai_async(url: str, key: str, question: str) -> Any:
    async with openai.AsyncOpenAI(base_url=url, api_key=key) as client:
        stream = await client.chat.completions.create(
            model="rag", messages=[{"role": "user", "content": question}], stream=True
        )
        return read_chunks([chunk async for chunk in stream])


async def ask_openai_async(url: str, key: str, question: str) -> Any:
    async with openai.AsyncOpenAI(base_url=url, api_key=key) as client:
        answer = await client.chat.completions.create(model="rag", messages=[{"role": "user", "content": question}])
        return read_choice(answer)


def accumulate_openai(url: str, key: str, question: str) -> Any:
    """The client's own accumulation of a stream, which is strict about its chunks."""
    client = openai.OpenAI(base_url=url, api_key=key)
    with client.chat.completions.stream(model="rag", messages=[{"role": "user", "content": question}]) as stream:
        answer = stream.get_final_completion()
    return read_choice(answer)


def read_choice(answer: Any) -> Any:
    (choice,) = answer.choices
    annotations = [each if isinstance(each, dict) else each.model_dump() for each in choice.message.annotations or []]
    return {"text": choice.message.content, "finish_reason": choice.finish_reason, "annotations": annotations}


def read_chunks(chunks: list[Any]) -> Any:
    choices = [choice for chunk in chunks for choice in chunk.choices]
    return {
        "text": "".join(choice.delta.content or "" for choice in choices),
        "annotations": [each for choice in choices for each in getattr(choice.delta, "annotations", None) or []],
        "finish_reason": choices[-1].finish_reason,
        "usage": chunks[-1].usage.model_dump(exclude_none=True) if chunks[-1].usage else None,
    }


def fail_openai(url: str, key: str, question: str) -> Any:
    """The errors as the client names them: by status, with code, type and param of the body."""
    client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
    strangers = openai.OpenAI(base_url=url, api_key="nobody", max_retries=0)
    found: dict[str, Any] = {}
    for name, asking, fields in (
        ("unknown model", client, {"model": "gpt-4o"}),
        ("other tenant", client, {"model": "rag:acme"}),
        ("tools", client, {"model": "rag", "tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("stranger", strangers, {"model": "rag"}),
    ):
        try:
            asking.chat.completions.create(messages=[{"role": "user", "content": question}], **fields)
        except openai.APIStatusError as error:
            found[name] = [type(error).__name__, error.code, error.type, error.param]
    return found


def ask_langchain(url: str, key: str, question: str) -> Any:
    model = ChatOpenAI(base_url=url, api_key=key, model="rag")
    answer = model.invoke([("system", "Be brief."), ("human", question)])
    streamed = list(model.stream(question))
    return {
        "text": answer.text,
        "finish_reason": answer.response_metadata["finish_reason"],
        "usage": answer.usage_metadata,
        "streamed": "".join(chunk.text for chunk in streamed),
        "streamed_usage": sum((chunk.usage_metadata or {}).get("total_tokens", 0) for chunk in streamed),
    }


def ask_llama_index(url: str, key: str, question: str) -> Any:
    model = OpenAILike(api_base=url, api_key=key, model="rag", is_chat_model=True)
    messages = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content=question)]
    return {
        "text": model.chat(messages).message.content,
        "streamed": "".join(piece.delta or "" for piece in model.stream_chat(messages)),
        "completed": model.complete(question).text,
    }


def main(url: str, key: str, question: str) -> None:
    asked = (url, key, question)
    print(
        json.dumps(
            {
                "openai": ask_openai(*asked),
                "openai stream": stream_openai(*asked),
                "openai async": asyncio.run(ask_openai_async(*asked)),
                "openai async stream": asyncio.run(stream_openai_async(*asked)),
                "openai accumulated": accumulate_openai(*asked),
                "openai errors": fail_openai(*asked),
                "langchain": ask_langchain(*asked),
                "llama-index": ask_llama_index(*asked),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
