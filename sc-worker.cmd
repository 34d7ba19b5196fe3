@echo off
rem `sc-worker` of this folder: `sc-worker.cmd run`. Goes on with an installation that was interrupted.
cd /d "%~dp0"
if not exist .cache\python.stamp node bootstrap\install.mjs --worker || exit /b 1
node_modules\node\bin\node.exe apps\worker\src\main.js %*
