-- What the user may set; `server` goes to gpt2-lsp as it is (docs/language-server.md has the table).
local M = {}

M.defaults = {
  cmd = { "gpt2-lsp" },
  filetypes_off = { "TelescopePrompt", "help", "qf", "netrw" },
  highlight = "Gpt2AssistGhost",
  server = {},
  keys = {
    accept = "<Tab>",
    accept_word = "<M-Right>",
    accept_line = "<M-Down>",
    next = "<M-]>",
    previous = "<M-[>",
    dismiss = "<C-]>",
  },
}

M.current = vim.deepcopy(M.defaults)

function M.set(options)
  M.current = vim.tbl_deep_extend("force", vim.deepcopy(M.defaults), options or {})
end

return M
