-- Compare-and-set of a project's live version.
-- KEYS: live, hist, trained, pinned, fitted, fence, then those of the outbox (tell.lua, which stands in front)
-- ARGV: version, expected ("" none yet), seq, entry, force, channel, message, token of the attempt ("" for no training),
--   pin that this may lift ("" none), an event's id, body and how many are kept
if ARGV[8] ~= '' and redis.call('GET', KEYS[6]) ~= ARGV[8] then return 'fenced' end
local live = redis.call('GET', KEYS[1]) or ''
if live == ARGV[1] then return 'already' end
if ARGV[5] ~= '1' then
  local pinned = redis.call('GET', KEYS[4])
  if pinned and pinned ~= ARGV[9] then return 'pinned' end
  if live ~= ARGV[2] then return 'superseded' end
  if pinned then redis.call('DEL', KEYS[4]) end
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('LPUSH', KEYS[2], ARGV[4])
redis.call('LTRIM', KEYS[2], 0, 199)
if tonumber(ARGV[3]) > tonumber(redis.call('GET', KEYS[3]) or '0') then redis.call('SET', KEYS[3], ARGV[3]) end
redis.call('SET', KEYS[5], ARGV[3])
redis.call('PUBLISH', ARGV[6], ARGV[7])
tell(7, ARGV[10], ARGV[11], ARGV[12])
return 'published'
