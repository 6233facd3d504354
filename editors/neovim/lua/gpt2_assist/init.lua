-- gpt2-assist for Neovim: ghost text from gpt2-lsp as one types.
local client = require("gpt2_assist.client")
local config = require("gpt2_assist.config")
local ghost = require("gpt2_assist.ghost")

local M = {}

local AUTOMATIC, INVOKED = 2, 1
local cancel -- of the question under way
local items, chosen = {}, 1 -- of the last explicit question
local asked_at = "" -- place and change of the last question: a key tells of itself twice

local function insert_mode()
  return vim.api.nvim_get_mode().mode:sub(1, 1) == "i"
end

local function place()
  local cursor = vim.api.nvim_win_get_cursor(0)
  return vim.api.nvim_get_current_buf(), cursor[1] - 1, cursor[2]
end

local function stop()
  if cancel then
    cancel()
    cancel = nil
  end
end

local function wanted(buf)
  local buftype = vim.bo[buf].buftype
  return buftype == "" and not vim.tbl_contains(config.current.filetypes_off, vim.bo[buf].filetype)
end

local function draw(buf, row, col, text)
  if vim.fn.pumvisible() == 1 then
    return ghost.hide()
  end
  ghost.show(buf, row, col, text, config.current.highlight)
end

-- Asks at the cursor. What comes is drawn only where the cursor still is where it was.
local function ask(kind, on_items)
  stop()
  local buf, row, col = place()
  local server = wanted(buf) and client.attach(buf)
  if not server or not server.initialized then
    return ghost.hide() -- LspAttach asks again
  end
  local tick = vim.api.nvim_buf_get_changedtick(buf)
  local function still()
    local now_buf, now_row, now_col = place()
    return insert_mode() and now_buf == buf and now_row == row and now_col == col
      and vim.api.nvim_buf_get_changedtick(buf) == tick
  end
  cancel = client.ask(server, buf, kind, function(text)
    if kind == AUTOMATIC and still() then
      draw(buf, row, col, text)
    end
  end, function(found)
    cancel = nil
    if not still() then
      return
    end
    if on_items then
      return on_items(buf, row, col, found)
    end
    items, chosen = found, 1
    draw(buf, row, col, found[1] and found[1].insertText or "")
  end)
end

-- After a key or a move: what was shown shrinks where it was typed, or goes; and the server is asked.
local function moved()
  if not insert_mode() then
    return
  end
  local buf, row, col = place()
  if vim.fn.pumvisible() == 1 then
    stop()
    return ghost.hide()
  end
  local here = table.concat({ buf, row, col, vim.api.nvim_buf_get_changedtick(buf) }, " ")
  if here == asked_at then
    return
  end
  asked_at = here
  local rest = ghost.rest(buf, row, col)
  items = {}
  if rest and rest ~= "" then
    draw(buf, row, col, rest)
  else
    ghost.hide()
  end
  ask(AUTOMATIC)
end

local function leave()
  stop()
  asked_at = ""
  ghost.hide()
  client.notify(vim.api.nvim_get_current_buf(), "gpt2/dismissed")
end

-- Puts `text` at the cursor as one step of undo, and shows `rest` behind it.
local function insert(text, rest)
  local buf, row, col = place()
  stop()
  ghost.hide()
  vim.o.undolevels = vim.o.undolevels -- ends the undo block before it
  local lines = vim.split(text, "\n", { plain = true })
  vim.api.nvim_buf_set_text(buf, row, col, row, col, lines)
  local last = #lines[#lines]
  row, col = row + #lines - 1, #lines == 1 and col + last or last
  vim.api.nvim_win_set_cursor(0, { row + 1, col })
  client.notify(buf, "gpt2/accepted", { characters = vim.fn.strutf16len(text) })
  if rest ~= "" then
    draw(buf, row, col, rest)
  end
  moved()
end

-- Takes the beginning of what is shown, as long as `length(text)` says. Whether there was anything.
local function take(length)
  local shown = ghost.shown
  if not shown then
    return false
  end
  local size = length(shown.text)
  insert(shown.text:sub(1, size), shown.text:sub(size + 1))
  return true
end

function M.visible()
  return ghost.shown ~= nil
end

function M.accept()
  return take(function(text)
    return #text
  end)
end

function M.accept_word()
  return take(function(text)
    local _, stop_at = text:find("^%s*[%w_\128-\255]+")
    if not stop_at then
      _, stop_at = text:find("^%s*[^%s%w_\128-\255]+")
    end
    return stop_at or #text
  end)
end

function M.accept_line()
  return take(function(text)
    local first = text:find("\n", 2, true)
    return first and first - 1 or #text
  end)
end

local function cycle(step)
  local function show(buf, row, col)
    chosen = (chosen - 1 + step) % #items + 1
    draw(buf, row, col, items[chosen].insertText)
  end
  if #items > 1 then
    return show(place())
  end
  ask(INVOKED, function(buf, row, col, found)
    items = found
    if #items > 0 then
      chosen = ghost.shown and 1 or 1 - step
      show(buf, row, col)
    end
  end)
end

function M.next()
  cycle(1)
end

function M.previous()
  cycle(-1)
end

function M.dismiss()
  local shown = M.visible()
  leave()
  return shown
end

-- For a status line: the model, and how quick it was or why nothing is shown.
function M.status()
  local status = client.last_status
  if not status.enabled then
    return "gpt2: off"
  end
  local detail = status.reason ~= "" and status.reason or status.state
  if status.state == "ready" and status.reason == "" and type(status.latencyMs) == "number" then
    detail = ("%d ms"):format(math.floor(status.latencyMs + 0.5))
  end
  return ("gpt2 %s: %s"):format(vim.fs.basename(status.model), detail)
end

function M.toggle(scope, enabled)
  local argument = { scope = scope or "all", enabled = enabled }
  if scope == "file" or scope == "language" then
    argument.uri = vim.uri_from_bufnr(0)
  end
  leave()
  client.command("gpt2.toggle", { argument }, function(status)
    client.last_status = status
    vim.notify(M.status())
  end)
end

local function map(name, act)
  local key = config.current.keys and config.current.keys[name]
  if not key or key == "" then
    return
  end
  local former = vim.fn.maparg(key, "i", false, true)
  vim.keymap.set("i", key, function()
    if (name == "next" or name == "previous") or M.visible() then
      vim.schedule(act)
      return ""
    end
    if former.callback and former.expr == 1 then
      return former.callback()
    elseif former.callback then
      vim.schedule(former.callback)
      return ""
    end
    return former.rhs and former.rhs ~= "" and former.rhs or key
  end, { expr = true, replace_keycodes = true, desc = "gpt2-assist: " .. name:gsub("_", " ") })
end

function M.setup(options)
  config.set(options)
  vim.api.nvim_set_hl(0, "Gpt2AssistGhost", { link = "Comment", default = true })
  local group = vim.api.nvim_create_augroup("gpt2_assist", { clear = true })
  vim.api.nvim_create_autocmd({ "TextChangedI", "CursorMovedI" }, { group = group, callback = moved })
  vim.api.nvim_create_autocmd({ "InsertEnter", "LspAttach" }, {
    group = group,
    callback = function()
      asked_at = ""
      vim.schedule(moved) -- the mode is still the old one
    end,
  })
  vim.api.nvim_create_autocmd({ "TextChangedP", "CompleteChanged" }, {
    group = group,
    callback = function()
      stop()
      ghost.hide()
      asked_at = ""
    end,
  })
  vim.api.nvim_create_autocmd({ "InsertLeave", "BufLeave" }, { group = group, callback = leave })
  vim.api.nvim_create_autocmd({ "BufReadPost", "BufNewFile", "FileType" }, {
    group = group,
    callback = function(event)
      if wanted(event.buf) and vim.api.nvim_buf_is_loaded(event.buf) then
        client.attach(event.buf) -- the model is loaded before the first key
      end
    end,
  })
  for _, name in ipairs({ "accept", "accept_word", "accept_line", "next", "previous", "dismiss" }) do
    map(name, M[name])
  end
end

return M
