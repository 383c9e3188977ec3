-- Searches for wrk: half of them have been asked before, half are new.
local topics = {
  "submarine cable", "repair time", "spectrum auction", "internet exchange point",
  "last mile fibre", "school connectivity", "satellite latency", "data centre energy",
  "early warning", "cybersecurity incident", "universal service fund", "5G deployment",
  "digital public infrastructure", "interoperability", "measurement indicators",
  "AI for public services",
}
local n = 0
request = function()
  n = n + 1
  local query = topics[n % #topics + 1]
  if n % 2 == 0 then
    query = query .. " " .. n .. " " .. topics[n * 7 % #topics + 1]
  end
  return wrk.format("POST", "/api/v1/search", { ["Content-Type"] = "application/json" },
    '{"query":"' .. query .. '"}')
end
