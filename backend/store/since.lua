-- The examples that changed after a seq, as they are now, and the seq that they are of.
-- KEYS: ex, log, seq    ARGV: seq    Returns {seq, ids, values}; the value of one that is gone is ''.
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf')
local values = {}
for i, id in ipairs(ids) do
  values[i] = redis.call('HGET', KEYS[1], id) or ''
end
return {redis.call('GET', KEYS[3]) or '0', ids, values}
