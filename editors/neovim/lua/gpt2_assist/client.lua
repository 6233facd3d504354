-- The connection to gpt2-lsp: one client for all buffers, started at need and started again where it died.
local config = require("gpt2_assist.config")

local M = {}

M.last_status = { state = "loading", reason = "", model = "", enabled = true, message = "" }

local MAX_STARTS = 5 -- in a minute: a server that keeps dying is left alone
local starts = {}
local complained = false
local listeners = {} -- by partial-result token

local function complain(sentence)
  if not complained then
    complained = true
    vim.notify(sentence, vim.log.levels.WARN, { title = "gpt2-assist" })
  end
end

local function may_start()
  local now = vim.uv.now()
  starts = vim.tbl_filter(function(time)
    return now - time < 60000
  end, starts)
  if #starts >= MAX_STARTS then
    complain("gpt2-lsp ended " .. MAX_STARTS .. " times within a minute; :checkhealth gpt2_assist says more.")
    return false
  end
  table.insert(starts, now)
  return true
end

local function progress(err, params, context)
  local listener = params and listeners[params.token]
  if listener then
    listener(params.value)
  else
    local default = vim.lsp.handlers["$/progress"]
    if default then
      return default(err, params, context)
    end
  end
end

local function running(buf)
  return vim.lsp.get_clients({ bufnr = buf, name = "gpt2-assist" })[1]
end

-- The client of a buffer, started where there is none; nil where it can't be.
function M.attach(buf)
  local client = running(buf)
  if client and not client:is_stopped() then
    return client
  end
  local settings = config.current
  if vim.fn.executable(settings.cmd[1]) == 0 then
    complain("gpt2-assist: there is no program " .. settings.cmd[1] .. "; set cmd to .venv/bin/gpt2-lsp of your clone.")
    return nil
  end
  if not vim.lsp.get_clients({ name = "gpt2-assist" })[1] and not may_start() then
    return nil
  end
  local name = vim.api.nvim_buf_get_name(buf)
  local id = vim.lsp.start({
    name = "gpt2-assist",
    cmd = settings.cmd,
    root_dir = vim.fs.root(buf, ".git") or (name ~= "" and vim.fs.dirname(name)) or vim.fn.getcwd(),
    init_options = vim.tbl_extend("force", settings.server, { streaming = true, statusNotifications = true }),
    handlers = {
      ["$/progress"] = progress,
      ["gpt2/status"] = function(_, status)
        M.last_status = status
        vim.api.nvim_exec_autocmds("User", { pattern = "Gpt2AssistStatus" })
      end,
    },
  }, {
    bufnr = buf,
    reuse_client = function(client)
      return client.name == "gpt2-assist" and not client:is_stopped()
    end,
  })
  return id and vim.lsp.get_client_by_id(id)
end

-- Asks for what may stand at the cursor. `on_text(text)` hears it grow, `on_items(items)` the end. Returns a function
-- that cancels, after which neither is called.
function M.ask(client, buf, kind, on_text, on_items)
  local token = "gpt2-assist-" .. vim.uv.hrtime()
  local over = false
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = kind }
  params.partialResultToken = token
  params.formattingOptions = {
    tabSize = vim.lsp.util.get_effective_tabstop(buf),
    insertSpaces = vim.bo[buf].expandtab,
  }
  local function close()
    over = true
    listeners[token] = nil
  end
  listeners[token] = function(value)
    if not over then
      on_text(value.text)
    end
  end
  local sent, id = client:request("gpt2/inlineCompletion", params, function(err, result)
    if over then
      return
    end
    close()
    if err or not result or vim.startswith(result.reason or "", "superseded") then
      return
    end
    on_items(result.items or {})
  end, buf)
  return function()
    if not over then
      close()
      if sent and id then
        client:cancel_request(id)
      end
    end
  end
end

function M.command(name, arguments, callback)
  local client = vim.lsp.get_clients({ name = "gpt2-assist" })[1]
  if not client then
    return vim.notify("gpt2-assist: no server runs yet.", vim.log.levels.WARN)
  end
  local params = { command = name, arguments = arguments }
  client:request("workspace/executeCommand", params, function(err, result)
    if err then
      vim.notify("gpt2-assist: " .. err.message, vim.log.levels.WARN)
    elseif callback then
      callback(result)
    end
  end)
end

function M.notify(buf, method, extra)
  local client = running(buf)
  if client then
    local params = vim.tbl_extend("force", { textDocument = { uri = vim.uri_from_bufnr(buf) } }, extra or {})
    client:notify(method, params)
  end
end

return M
