"""Hold the Lua scripts of the shared limiter: check both windows and take from both or none, atomically.

The keys of a tenant share one hash tag, so that a cluster keeps them in one slot:
  requests:<principal>  sorted set of reservation ids by time of admission
  tokens                sorted set of `<id>:<tokens>`, and `<id>:<tokens>:settled` once the actual usage is known
  spent                 sum over `tokens`, so that admission need not read them all; recomputed if it was evicted
Times are the server's, in microseconds; they are below 2^53, so a double is exact. Every key expires by itself.
Entries later than now, made before the server's clock was put back, do not count: they would hold their room for as
long as the clock went back.
"""

from typing import Final

# KEYS: requests, tokens, spent. ARGV: id, tokens, limit of requests, limit of tokens, window in microseconds.
# Returns 0 and 0 if the request was admitted, else the microseconds after which the request quota and the token quota
# would admit it; a refusal writes nothing.
# The first write is a command that a full server denies; once a script has written, the server lets it finish.
RESERVE: Final = """
local requests, tokens, spent_key = KEYS[1], KEYS[2], KEYS[3]
local id, amount, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[5])
local requests_limit, tokens_limit = tonumber(ARGV[3]), tonumber(ARGV[4])

-- Admitted already: the connection broke before the answer, and the client asks again.
if redis.call('ZSCORE', requests, id) then return {0, 0} end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local horizon, later = now - window, '(' .. string.format('%.0f', now)

local function tokens_of(member) return tonumber(string.match(member, ':(%d+)')) end
local function leaves_in(key, index)
  local entry = redis.call('ZRANGE', key, index, index, 'WITHSCORES')
  return entry[2] + window - now, entry[1]
end

local requests_wait, tokens_wait = 0, 0
local gone_requests = redis.call('ZCOUNT', requests, '-inf', horizon)
local excess = redis.call('ZCOUNT', requests, '(' .. string.format('%.0f', horizon), now) + 1 - requests_limit
if excess > 0 then
  requests_wait = leaves_in(requests, gone_requests + excess - 1)
end

local gone = redis.call('ZRANGEBYSCORE', tokens, '-inf', horizon)
local unborn = redis.call('ZRANGEBYSCORE', tokens, later, '+inf')
local spent = tonumber(redis.call('GET', spent_key))
if redis.call('ZCARD', tokens) == #gone + #unborn then
  spent = 0
elseif spent then
  for _, member in ipairs(gone) do spent = spent - tokens_of(member) end
  for _, member in ipairs(unborn) do spent = spent - tokens_of(member) end
else
  spent = 0
  for _, member in ipairs(redis.call('ZRANGE', tokens, #gone, -1 - #unborn)) do spent = spent + tokens_of(member) end
end

excess = spent + amount - tokens_limit
local index = #gone
while excess > 0 do
  local until_then, member = leaves_in(tokens, index)
  excess = excess - tokens_of(member)
  tokens_wait = until_then
  index = index + 1
end
if requests_wait > 0 or tokens_wait > 0 then return {requests_wait, tokens_wait} end

local lifetime_ms = math.ceil(window / 1000)
redis.call('ZADD', requests, now, id)
redis.call('ZREMRANGEBYSCORE', requests, '-inf', horizon)
redis.call('ZREMRANGEBYSCORE', requests, later, '+inf')
redis.call('PEXPIRE', requests, lifetime_ms)
redis.call('ZADD', tokens, now, id .. ':' .. ARGV[2])
redis.call('ZREMRANGEBYSCORE', tokens, '-inf', horizon)
redis.call('ZREMRANGEBYSCORE', tokens, later, '+inf')
redis.call('PEXPIRE', tokens, lifetime_ms)
redis.call('SET', spent_key, string.format('%.0f', spent + amount), 'PX', lifetime_ms)
return {0, 0}
"""

# KEYS: tokens, spent. ARGV: the reservation's member, the settled member or nothing, the difference in tokens.
# Returns 1, or 0 without any change if the reservation was settled before or has left the window.
# The new member is added before the old one is removed, because an empty set would be deleted and lose its expiry.
SETTLE: Final = """
local at = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not at then return 0 end
if ARGV[2] ~= '' then redis.call('ZADD', KEYS[1], at, ARGV[2]) end
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('INCRBY', KEYS[2], ARGV[3]) end
return 1
"""
