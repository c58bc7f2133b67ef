-- Puts an event into the outbox of each endpoint: within the script that makes it true, or not at all.
-- KEYS from `first` on, of each endpoint: due, events, state. id "": nothing is told.
local function tell(first, id, body, most)
  if id == '' then return end
  local clock = redis.call('TIME')
  local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
  for i = first, #KEYS, 3 do
    local due, events, state = KEYS[i], KEYS[i + 1], KEYS[i + 2]
    if redis.call('HEXISTS', state, 'gone') == 1 then
      redis.call('HINCRBY', state, 'dropped', 1)
    elseif redis.call('HSETNX', events, id, body) == 1 then
      redis.call('ZADD', due, now, id)
    end
    while redis.call('ZCARD', due) > tonumber(most) do
      local ids = redis.call('ZRANGE', due, 0, -1)
      table.sort(ids)
      redis.call('ZREM', due, ids[1])
      redis.call('HDEL', events, ids[1], ids[1] .. ':tries', ids[1] .. ':wait')
      redis.call('HINCRBY', state, 'dropped', 1)
    end
    -- what nobody looks at any more goes by itself: NOTIFY_URL has changed
    redis.call('EXPIRE', due, 259200)
    redis.call('EXPIRE', events, 259200)
    redis.call('EXPIRE', state, 7776000)
  end
end
