-- What one version suggested for some tasks; of each task the last versions stay, of a project the last tasks.
-- KEYS: suggested, suggested:order    ARGV: version, now, versions a task, tasks a project, then pairs of task, spans
-- A task's value has a line for each version, the last one last: the version, a tab, its spans. A line without a tab is
-- of an earlier release (JSON, with all versions of its time).
local version, now, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
for index = 5, #ARGV, 2 do
  local task, lines = ARGV[index], {}
  for line in string.gmatch(redis.call('HGET', KEYS[1], task) or '', '[^\n]+') do
    if string.sub(line, 1, #version + 1) ~= version .. '\t' then lines[#lines + 1] = line end
  end
  lines[#lines + 1] = version .. '\t' .. ARGV[index + 1]
  redis.call('HSET', KEYS[1], task, table.concat(lines, '\n', math.max(1, #lines - most + 1)))
  redis.call('ZADD', KEYS[2], now, task)
end
for _, task in ipairs(redis.call('ZRANGE', KEYS[2], 0, -tonumber(ARGV[4]) - 1)) do
  redis.call('HDEL', KEYS[1], task)
  redis.call('ZREM', KEYS[2], task)
end
