"""vLLM gets the options that the hardware needs, and none that would be wrong on other hardware."""

from dataclasses import replace

from rag.engines.vllm_server import CPU_ENVIRONMENT, ENVIRONMENT, EngineOptions

OPTIONS = EngineOptions("/m", "m", context_tokens=8192, gpu_memory_fraction=0.5, max_running=16)


def test_on_a_cpu_the_model_runs_in_the_engines_own_process() -> None:
    """In one of its own, the engine takes a core by asking whether it is done."""
    arguments = OPTIONS.arguments(on_cpu=True, dtype="float32")

    assert any(each.startswith("--distributed-executor-backend=") for each in arguments)
    assert not any(each.startswith("--gpu-memory-utilization") for each in arguments)
    assert int(CPU_ENVIRONMENT["OMP_NUM_THREADS"]) >= 1


def test_on_a_gpu_vllm_decides() -> None:
    """Its graphs, its processes and its share of the memory."""
    arguments = OPTIONS.arguments(on_cpu=False, dtype="bfloat16")

    assert "--gpu-memory-utilization=0.5" in arguments
    assert not {each.partition("=")[0] for each in arguments} & {"--enforce-eager", "--distributed-executor-backend"}
    assert "OMP_NUM_THREADS" not in ENVIRONMENT


def test_a_step_is_bounded_only_where_the_settings_say_so() -> None:
    """vLLM knows what is right for its hardware."""
    bounded = replace(OPTIONS, batch_tokens=512).arguments(on_cpu=True, dtype="float32")

    assert "--max-num-batched-tokens=512" in bounded
    assert len(OPTIONS.arguments(on_cpu=True, dtype="float32")) == len(bounded) - 1
