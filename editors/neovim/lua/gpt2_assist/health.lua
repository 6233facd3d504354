local M = {}

function M.check()
  local health, config, client = vim.health, require("gpt2_assist.config"), require("gpt2_assist.client")
  health.start("gpt2-assist")
  if vim.fn.has("nvim-0.10") == 1 then
    health.ok("Neovim " .. tostring(vim.version()))
  else
    health.error("Neovim 0.10 or later is needed.")
  end
  local program = config.current.cmd[1]
  if vim.fn.executable(program) == 0 then
    health.error("There is no program " .. program .. ".", {
      "run make repl in your clone of gpt2-assist, and set cmd to its .venv/bin/gpt2-lsp",
    })
  else
    health.ok(vim.trim(vim.fn.system({ program, "--version" })) .. " at " .. vim.fn.exepath(program))
  end
  local server = vim.lsp.get_clients({ name = "gpt2-assist" })[1]
  if server then
    health.ok("The server runs for " .. vim.tbl_count(server.attached_buffers) .. " buffer(s).")
    local status = client.last_status
    health.info(("state %s, model %s, reason: %s"):format(status.state, status.model, status.reason))
  else
    health.info("The server is not running; it starts with the first file.")
  end
end

return M
