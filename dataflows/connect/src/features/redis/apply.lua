-- Writes what a slot's users became between two epochs, or nothing.
--
-- KEYS[1] is the slot's watermark "<lineage> <epoch>", the others are parts of user documents.
-- ARGV: lineage (hex), the epoch that the writer knows the slot to be at (-1: none), the epoch that
-- it comes to, the lineage's tag (raw), then for each part: epoch, milliseconds to live (0: no
-- end), "1" for a tombstone, value.
-- Returns {0, epoch}: written. {1, epoch}: the slot is further already. {2, epoch}: the slot is not
-- where the writer left it, it lost data. {3, lineage}: it holds another history.
local held, mark = redis.call('GET', KEYS[1]), -1
if held then
  local lineage, epoch = string.match(held, '^(%x+) (%d+)$')
  if not lineage then
    return redis.error_reply('CORRUPT ' .. KEYS[1])
  end
  if lineage ~= ARGV[1] then
    return {3, lineage}
  end
  mark = tonumber(epoch)
end
if tonumber(ARGV[2]) > mark then
  return {2, mark}
end
if tonumber(ARGV[3]) < mark then
  return {1, mark}
end
for i = 2, #KEYS do
  local at = 5 + (i - 2) * 4
  local head = redis.call('GETRANGE', KEYS[i], 0, 63)
  local epoch, ours = -1, true
  if string.sub(head, 1, 1) == '{' then
    local lineage, digits = string.match(head, '^{"lineage":"(%x+)","epoch":(%d+)')
    ours = lineage == string.sub(ARGV[1], 1, 16)
    epoch = tonumber(digits or -1)
  elseif #head >= 19 then
    ours = string.sub(head, 3, 10) == ARGV[4]
    epoch = struct.unpack('<I8', head, 12)
  end
  local tombstone = ARGV[at + 2] == '1'
  -- A value of another history cannot be compared: it is overwritten, since the watermark is ours.
  if (not ours or tonumber(ARGV[at]) >= epoch) and not (tombstone and head == '') then
    if ARGV[at + 1] == '0' then
      redis.call('SET', KEYS[i], ARGV[at + 3])
    else
      redis.call('SET', KEYS[i], ARGV[at + 3], 'PX', ARGV[at + 1])
    end
  end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[3])
return {0, tonumber(ARGV[3])}
