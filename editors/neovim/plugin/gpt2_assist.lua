if vim.g.loaded_gpt2_assist then
  return
end
vim.g.loaded_gpt2_assist = true

local ACTIONS = { "toggle", "enable", "disable", "status", "model", "dismiss" }

vim.api.nvim_create_user_command("Gpt2Assist", function(call)
  local assist, client = require("gpt2_assist"), require("gpt2_assist.client")
  local action, argument = call.fargs[1], call.fargs[2]
  if action == "toggle" then
    assist.toggle(argument or "all")
  elseif action == "enable" or action == "disable" then
    assist.toggle(argument or "all", action == "enable")
  elseif action == "status" then
    vim.notify(assist.status() .. (client.last_status.message ~= "" and "\n" .. client.last_status.message or ""))
  elseif action == "model" and argument then
    client.command("gpt2.model", { argument }, function(status)
      client.last_status = status
      vim.notify(status.message ~= "" and status.message or assist.status())
    end)
  elseif action == "dismiss" then
    assist.dismiss()
  else
    vim.notify("Gpt2Assist knows: " .. table.concat(ACTIONS, ", ") .. " (model wants a name).", vim.log.levels.WARN)
  end
end, {
  nargs = "+",
  desc = "gpt2-assist: " .. table.concat(ACTIONS, ", "),
  complete = function(lead, line)
    local choices = line:match("^%S+%s+%S*$") and ACTIONS or { "all", "language", "file" }
    return vim.tbl_filter(function(choice)
      return vim.startswith(choice, lead)
    end, choices)
  end,
})
