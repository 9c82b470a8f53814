-- KEYS: claims of one owner. Returns for each of them 1 for the first report of a browser about it, 0 for a later one, -1
-- where there is no such claim.
local answers = {}
for i, claim in ipairs(KEYS) do
  if redis.call('EXISTS', claim) == 0 then
    answers[i] = -1
  else
    answers[i] = redis.call('HSETNX', claim, 'reported', '1')
  end
end
return answers
