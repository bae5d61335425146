"""Take files over HTTP, and change tenants' indexes by jobs that survive a kill: the service behind `POST /documents`.

One process owns writing, the Ingestor; fronts only read the index. The front knows callers and checks what they ask
for; it sends each file on while it arrives (`PUT /files/{token}`), then orders a job (`POST /jobs`). The Ingestor
trusts who reaches it, as the model services do: it listens on a Unix socket, or behind a network policy.

| file | what it does |
|---|---|
| `spool` | writes arriving files to disk, never into memory; refuses what there is no room for |
| `jobs` | keeps one folder per job: `job.json`, replaced in one step, and the job's files |
| `desk` | the queue: one job at a time, tenants in turn; after a restart it goes on |
| `command` | runs `add` or `remove` in a process that dies with this one; reads its progress and its result |
| `child` | that process |
| `app`, `service` | the paths; all of it as a part of a BentoML service |

Rules:

- A job is on disk before its 202. `queued` goes on after a restart; `running` is begun again, once: a document whose
  content is already in the index is unchanged, so a job may run twice. A job that the service died in twice is
  `failed`.
- A planned stop is no death: the job is put back into the queue.
- One job runs at a time. Each loads the embedder, and a tenant must have one writer; the index's own lock keeps the
  command line out.
- The same order (same caller, tenant, names, fields and digests of the files) while the first one waits or runs is the
  same job.
- A caller changes no document that it does not see: checked when the job runs, by the serving version.
- Names of files are the client's, so they are cleaned by the front, and checked here again to be one name.
- Ended jobs are kept for a week, at most a thousand; their files go when they end.
"""
