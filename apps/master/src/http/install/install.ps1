# Installs the worker of a Semantics Cluster in sc-worker of your home folder and starts it. `sc join` on the master's
# machine prints the line that runs this, with a code that is good for one worker. Windows PowerShell 5.1 and later.

& {
  $ErrorActionPreference = 'Stop'
  $ProgressPreference = 'SilentlyContinue'

  $master = '@MASTER@'
  $broker = '@BROKER@'
  $code = '@CODE@'
  $sha256 = '@SHA256@'
  $dir = Join-Path $HOME 'sc-worker'

  function Has($name) { $null -ne (Get-Command $name -ErrorAction SilentlyContinue) }
  function Succeeds($program, $arguments) {
    if (-not (Has $program)) { return $false }
    try { & $program @arguments 2>&1 | Out-Null } catch { return $false }
    return $LASTEXITCODE -eq 0
  }

  if (-not ((Has 'npx') -and (Succeeds 'node' @('-e', 'process.exit(process.versions.node.split(String.fromCharCode(46))[0] < 20 ? 1 : 0)')))) {
    throw 'sc-worker was not installed: it needs Node 20 or later, with npm (winget install OpenJS.NodeJS.LTS). Open a new PowerShell after that and paste the line again.'
  }
  $isNew = 'import sys; sys.exit(sys.version_info < (3, 10))'
  if (-not ((Succeeds 'py' @('-3', '-c', $isNew)) -or (Succeeds 'python' @('-c', $isNew)) -or (Succeeds 'python3' @('-c', $isNew)))) {
    throw 'sc-worker was not installed: it needs Python 3.10 or later (winget install Python.Python.3.12). Open a new PowerShell after that and paste the line again.'
  }

  # Else its files would change while it runs.
  foreach ($lock in @(Get-ChildItem -Path (Join-Path $dir 'data\workers\*\lock') -ErrorAction SilentlyContinue)) {
    try { [IO.File]::Open($lock.FullName, 'Open', 'Read', 'None').Close() }
    catch { throw "sc-worker was not installed: a worker of $dir runs. Stop it, with Ctrl-C where it was started, and paste the line again." }
  }

  Write-Host "Installing the worker in $dir"
  New-Item -ItemType Directory -Force -Path $dir | Out-Null
  $archive = Join-Path $dir '.worker.tar.gz'
  Invoke-WebRequest -UseBasicParsing -Headers @{ Authorization = "Bearer $code" } -Uri "$master/worker/worker.tar.gz" -OutFile $archive
  if ((Get-FileHash -Algorithm SHA256 -Path $archive).Hash -ne $sha256) {
    throw "sc-worker was not installed: what came from $master is damaged. Paste the line again."
  }
  # Files that this version no longer has must not stay; without its stamp, sc-worker.cmd goes on with an installation.
  foreach ($part in '.cache\python.stamp', 'apps\*\src', 'packages\*\src', 'bootstrap', 'python-gpu') {
    $path = Join-Path $dir $part
    if (Test-Path $path) { Remove-Item -Recurse -Force $path }
  }
  tar.exe -xzf $archive -C $dir
  if ($LASTEXITCODE -ne 0) { throw "sc-worker was not installed: $dir cannot be written." }
  Remove-Item $archive

  $env:SC_BROKER = $broker
  node (Join-Path $dir 'bootstrap\install.mjs') --worker
  $failed = $LASTEXITCODE -ne 0
  Remove-Item Env:SC_BROKER
  if ($failed) { return }
  Write-Host "`nInstalled. From now on, this starts it: $dir\sc-worker.cmd run"
  & (Join-Path $dir 'sc-worker.cmd') run
}
