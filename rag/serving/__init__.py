"""Change how BentoML, circus and uvicorn serve. Nothing outside this room patches them.

Each change names the version that it was made for and what was reported upstream. If upstream mends a fault, the test
beside it fails, and the change can go.

| change | made for | reported | test that fails if it is not needed any more |
|---|---|---|---|
| `supervisor.listen_privately` | BentoML 1.4.39 | not yet | `test_supervisor.py` |
| `supervisor.stop_front_first` | BentoML 1.4.39, circus 0.19 | bentoml#3813, circus#935 | `test_serving_needed.py` |
| `orphans.stop_front_when_orphaned` | BentoML 1.4.39, circus 0.19 | as designed there | `test_stop.py` |
| `connection.bound_connections` | uvicorn 0.54, httptools 0.9 | uvicorn#2722, #157 | `test_connection.py` |
| `stopping.draining_on_sigterm` | uvicorn 0.54 | as designed there | `test_serving_needed.py` |
| `bento_batching.BatchedService` | BentoML 1.4.39 | bentoml#3630, refused | `test_serving_needed.py` |

Others live where their subject is: `rag.api.edge` stands around BentoML's application, `rag.observability.logs`
replaces its formatter, `rag.observability.metric_files` reserves the space of prometheus_client's files, and
`rag.models` looks into a Bento's own model store.
"""
