import type { TailnetStatus } from './status.ts'

/** How far the machine of the master is on its way into a tailnet. */
export type SetupState = 'missing' | 'stopped' | 'logged-out' | 'unapproved' | 'starting' | 'up'
export type System = 'linux' | 'macos' | 'windows'

export interface SetupStep {
  title: string
  detail: string
  command: string | null
  url: string | null
}

export function setupState({ installed, backendState }: TailnetStatus): SetupState {
  if (!installed) return 'missing'
  switch (backendState) {
    case 'Running':
      return 'up'
    case 'NeedsLogin':
    case 'Stopped':
      return 'logged-out'
    case 'NeedsMachineAuth':
      return 'unapproved'
    case 'Starting':
    case 'NoState':
      return 'starting'
    default:
      return 'stopped'
  }
}

export function thisSystem(platform: NodeJS.Platform): System {
  return platform === 'darwin' ? 'macos' : platform === 'win32' ? 'windows' : 'linux'
}

const step = (title: string, detail: string, command: string | null = null, url: string | null = null): SetupStep => ({
  title,
  detail,
  command,
  url
})

const DOWNLOAD = 'https://tailscale.com/download'
const LOGIN = 'It prints a link, or opens the browser: log in there with the account of your tailnet.'

const INSTALL: Record<System, SetupStep> = {
  linux: step(
    'Install Tailscale',
    'The installer of Tailscale, for every usual distribution.',
    'curl -fsSL https://tailscale.com/install.sh | sh',
    `${DOWNLOAD}/linux`
  ),
  macos: step(
    'Install Tailscale',
    'By Homebrew, from the App Store, or from the page.',
    'brew install --cask tailscale-app',
    `${DOWNLOAD}/mac`
  ),
  windows: step(
    'Install Tailscale',
    'By winget, or from the page.',
    'winget install --id Tailscale.Tailscale --exact',
    `${DOWNLOAD}/windows`
  )
}

const START: Record<System, SetupStep> = {
  linux: step(
    'Start Tailscale',
    'It is installed, and its daemon does not answer.',
    'sudo systemctl enable --now tailscaled'
  ),
  macos: step('Start Tailscale', 'It is installed, and does not answer: open the app.', 'open -a Tailscale'),
  windows: step('Start Tailscale', 'It is installed, and its service does not answer.', 'Start-Service Tailscale')
}

const LOG_IN: Record<System, SetupStep> = {
  linux: step('Log in to your tailnet', LOGIN, 'sudo tailscale up'),
  macos: step('Log in to your tailnet', LOGIN, 'tailscale up'),
  windows: step('Log in to your tailnet', LOGIN, 'tailscale up')
}

const same = (one: SetupStep): Record<System, SetupStep> => ({ linux: one, macos: one, windows: one })

const APPROVE = same(
  step(
    'Approve this machine',
    'Your tailnet wants each new machine approved: an admin does it in the console.',
    null,
    'https://login.tailscale.com/admin/machines'
  )
)
const WAIT = same(step('Wait a moment', 'Tailscale is connecting.'))
const ADD_WORKER = same(
  step(
    'Add the next machine',
    'This machine is in your tailnet. Install Tailscale on the other one, log in there, and paste the command that this prints.',
    'npm run sc -- join'
  )
)

const STEPS: Record<SetupState, Record<System, SetupStep>[]> = {
  missing: [INSTALL, LOG_IN],
  stopped: [START, LOG_IN],
  'logged-out': [LOG_IN],
  unapproved: [APPROVE],
  starting: [WAIT],
  up: [ADD_WORKER]
}

/** What is left to do, the next first. */
export function stepsLeft(state: SetupState, system: System): SetupStep[] {
  return STEPS[state].map(steps => steps[system])
}
