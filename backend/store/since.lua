-- Examples that changed after a seq, as they are now: the first so many, since a script keeps Redis from all others.
-- KEYS: ex, log, seq    ARGV: seq, most
-- Returns {seq up to which that is all of them, ids, values}; the value of one that is gone is ''.
local found = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local ids, values = {}, {}
for i = 1, #found, 2 do
  ids[#ids + 1] = found[i]
  values[#values + 1] = redis.call('HGET', KEYS[1], found[i]) or ''
end
if #ids == tonumber(ARGV[2]) then return {found[#found], ids, values} end
return {redis.call('GET', KEYS[3]) or '0', ids, values}
