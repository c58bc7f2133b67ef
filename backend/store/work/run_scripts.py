"""What the records of long work have in common: a hash of JSON values that changes only while the work is not over."""

from __future__ import annotations

import json
from collections.abc import Mapping

IS_OVER = """
local over = {['"done"'] = true, ['"failed"'] = true, ['"cancelled"'] = true}
local status = redis.call('HGET', KEYS[1], 'status')
local is_over = not status or over[status]
"""

CHANGE = f"""
-- KEYS: run    ARGV: run, then pairs to set    Returns 0, unchanged, for another run or one that is over.
{IS_OVER}
if is_over or redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
"""

CREATE = f"""
-- KEYS: run, what goes with the one before    ARGV: pairs    Returns 0 when one is there that is not over.
{IS_OVER}
if not is_over then return 0 end
redis.call('DEL', unpack(KEYS))
for i = 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
"""


def pairs(fields: Mapping[str, object]) -> list[str]:
    """Names and JSON values in turn, as the scripts take them."""
    return [part for name, value in fields.items() for part in (name, json.dumps(value, ensure_ascii=True))]
