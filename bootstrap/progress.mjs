const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const STILL_EVERY_MS = 30_000

/** One line for a step: a spinner with the elapsed time on a terminal, else a line at the start, now and then, and at the end. */
export function showStep(title, output = process.stderr) {
  const started = Date.now()
  const elapsed = () => `${((Date.now() - started) / 1000).toFixed(0)} s`
  let detail = ''
  let frame = 0
  const draw = () => {
    const line = `${FRAMES[frame++ % FRAMES.length]} ${title}  ${elapsed()}  ${detail}`
    output.write(`\r\x1b[2K${line.slice(0, Math.max(20, (output.columns ?? 80) - 1))}`)
  }
  const terminal = output.isTTY === true
  if (!terminal) output.write(`- ${title} …\n`)
  const timer = terminal
    ? setInterval(draw, 100)
    : setInterval(() => output.write(`- ${title}: still at it after ${elapsed()}  ${detail}\n`), STILL_EVERY_MS)
  const end = (mark, note) => {
    clearInterval(timer)
    output.write(`${terminal ? '\r\x1b[2K' : ''}${mark} ${title} (${note})\n`)
  }
  return {
    say: line => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colours of the tools would break the line
      detail = line.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, '').replaceAll('\r', ' ')
    },
    done: () => end('✓', elapsed()),
    upToDate: () => end('✓', 'up to date'),
    failed: () => end('✗', `failed after ${elapsed()}`)
  }
}
