-- Ghost text: drawn with extmarks at the cursor, shrunk at once where the user types along.
local M = {}

local namespace = vim.api.nvim_create_namespace("gpt2_assist")

-- What is shown: { buf, row, col (bytes), text }, or nil.
M.shown = nil

function M.hide()
  if M.shown and vim.api.nvim_buf_is_valid(M.shown.buf) then
    vim.api.nvim_buf_clear_namespace(M.shown.buf, namespace, 0, -1)
  end
  M.shown = nil
end

-- Draws `text` at a place. Replacing the one extmark in one step keeps the screen from flickering.
function M.show(buf, row, col, text, highlight)
  if text == "" then
    return M.hide()
  end
  if M.shown and M.shown.buf ~= buf then
    M.hide()
  end
  local lines = vim.split(text, "\n", { plain = true })
  local below = {}
  for index = 2, #lines do
    table.insert(below, { { lines[index] == "" and " " or lines[index], highlight } })
  end
  vim.api.nvim_buf_set_extmark(buf, namespace, row, col, {
    id = 1,
    virt_text = { { lines[1], highlight } },
    virt_text_pos = "inline",
    virt_lines = #below > 0 and below or nil,
    hl_mode = "combine",
    right_gravity = true,
  })
  M.shown = { buf = buf, row = row, col = col, text = text }
end

-- The rest of what is shown, if the user typed its beginning: the text between its place and the cursor. Else nil.
function M.rest(buf, row, col)
  local shown = M.shown
  if not shown or shown.buf ~= buf or row < shown.row or (row == shown.row and col < shown.col) then
    return nil
  end
  local ok, lines = pcall(vim.api.nvim_buf_get_text, buf, shown.row, shown.col, row, col, {})
  if not ok then
    return nil
  end
  local typed = table.concat(lines, "\n")
  if vim.startswith(shown.text, typed) then
    return shown.text:sub(#typed + 1)
  end
  return nil
end

return M
