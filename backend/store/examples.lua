-- Changes of annotations, one after the other. All keys carry the project's hash tag.
-- KEYS: ex, ver, task, log, seq, tomb, tasktomb, clock
-- ARGV: arguments per change, then those of each: op, bytask prefix, annotation (bury: task), ...
--   upsert: version, task, value ("" teaches nothing), before (restore: only tombstones older than this, else "")
--   delete: before ("" always, else only when the last change is not after this seq)
--   bury: a task; its outcome is the list of its annotations, which are still to be deleted
--   clock: its outcome is a reading of the clock that tombstones are stamped with
-- Returns the outcomes. Many in one script are one write and one fsync of the log; the caller bounds how many.
local ex, ver, task, log, seq, tomb, tasktomb = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]

local function changed(id)
  redis.call('ZADD', log, redis.call('INCR', seq), id)
end

local function clock()
  -- Never twice the same and never backwards, whatever is done to the machine's clock (a hybrid logical clock, Kulkarni
  -- et al. 2014): what is deleted after a listing began has the later stamp, so that the listing does not revive it.
  local now = redis.call('TIME')
  local micro = math.max(now[1] * 1000000 + now[2], tonumber(redis.call('GET', KEYS[8]) or '0') + 1)
  local text = string.format('%.0f', micro)
  redis.call('SET', KEYS[8], text)
  return text
end

local function bury(prefix, id)
  -- Label Studio names the task only: an annotation of it that is still under way must find it gone.
  redis.call('ZADD', tasktomb, clock(), id)
  return redis.call('SMEMBERS', prefix .. id)
end

local function delete(prefix, id, before)
  if before ~= '' then
    local last = redis.call('ZSCORE', log, id)
    if last and tonumber(last) > tonumber(before) then return 'newer' end
  end
  local known = redis.call('HGET', task, id)
  if known then redis.call('SREM', prefix .. known, id) end
  redis.call('HDEL', ver, id)
  redis.call('HDEL', task, id)
  redis.call('ZADD', tomb, clock(), id)
  if redis.call('HDEL', ex, id) == 1 then
    changed(id)
    return 'deleted'
  end
  return 'absent'
end

local function is_gone(graves, name, before)
  local buried = redis.call('ZSCORE', graves, name)
  if not buried then return false end
  if before == '' or tonumber(buried) >= tonumber(before) then return true end
  redis.call('ZREM', graves, name)
  return false
end

local function upsert(prefix, id, version, owner, value, before)
  if is_gone(tasktomb, owner, before) or is_gone(tomb, id, before) then return 'deleted' end
  local present = redis.call('HGET', ver, id)
  local stored = redis.call('HGET', ex, id)
  if present then
    if present > version then return 'stale' end
    if present == version and (stored or '') == value then return 'duplicate' end
  end
  redis.call('HSET', ver, id, version)
  local known = redis.call('HGET', task, id)
  if known and known ~= owner then redis.call('SREM', prefix .. known, id) end
  redis.call('HSET', task, id, owner)
  redis.call('SADD', prefix .. owner, id)
  if value == '' then
    if redis.call('HDEL', ex, id) == 1 then
      changed(id)
      return 'cleared'
    end
    return 'empty'
  end
  if stored == value then return 'unchanged' end
  redis.call('HSET', ex, id, value)
  changed(id)
  return 'stored'
end

local operations = {upsert = upsert, delete = delete, bury = bury, clock = clock}
local outcomes, width = {}, tonumber(ARGV[1])
for i = 2, #ARGV, width do
  outcomes[#outcomes + 1] = operations[ARGV[i]](unpack(ARGV, i + 1, i + width - 1))
end
return outcomes
