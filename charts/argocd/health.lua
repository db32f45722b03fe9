-- Health of the kinds of chaperone.dev, for Argo CD: Healthy only when the condition Ready is true for the generation that was applied.
-- What the sidecars have yet to take over is Progressing; what a person has to mend is Degraded.
local mend = { Accepted = true, ResolvedRefs = true }
local function of(status, message)
  return { status = status, message = message }
end

local conditions = obj.status ~= nil and obj.status.conditions or nil
if conditions == nil then
  return of("Progressing", "The operator has not seen it yet")
end

local ready = nil
for _, condition in ipairs(conditions) do
  local seen = condition.observedGeneration
  if seen ~= nil and obj.metadata.generation ~= nil and seen < obj.metadata.generation then
    return of("Progressing", "The operator has not seen this generation yet")
  end
  if mend[condition.type] and condition.status == "False" then
    return of("Degraded", condition.message)
  end
  if condition.type == "Programmed" and condition.status == "False" and condition.reason == "Rejected" then
    return of("Degraded", condition.message)
  end
  if condition.type == "Ready" then
    ready = condition
  end
end

if ready == nil then
  return of("Progressing", "It has no condition Ready yet")
end
if ready.status == "True" then
  return of("Healthy", ready.message)
end
return of("Progressing", ready.message)
