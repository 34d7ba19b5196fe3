import { once } from 'node:events'
import { createServer } from 'node:http'

const GO_NEVER = '0001-01-01T00:00:00Z'

const machine = (name: string, ip: string, more: object = {}) => ({
  ID: `n${ip.split('.').at(-1)}CNTRL`,
  HostName: name,
  DNSName: `${name}.tailnet.example.`,
  OS: 'linux',
  TailscaleIPs: [ip, 'fd7a:115c:a1e0::1'],
  Online: true,
  Active: false,
  CurAddr: '',
  Relay: 'fra',
  LastSeen: GO_NEVER,
  RxBytes: 10,
  TxBytes: 20,
  ...more
})

/** A tailnet of four: this machine, one reached directly, one through a relay, one that is off. */
export const RUNNING = {
  Version: '1.102.3-tabc',
  BackendState: 'Running',
  Self: machine('home', '100.64.0.1', { UserID: 7 }),
  User: { 7: { ID: 7, LoginName: 'someone@example.com' }, 8: { ID: 8, LoginName: 'other@example.com' } },
  Health: null,
  Peer: {
    'nodekey:1': machine('desk', '100.64.0.2', { Active: true, CurAddr: '192.0.2.7:41641' }),
    'nodekey:2': machine('attic', '100.64.0.3', { Active: true }),
    'nodekey:3': machine('phone', '100.64.0.4', { Online: false, LastSeen: '2026-01-02T03:04:05Z', OS: 'iOS' })
  },
  CurrentTailnet: { Name: 'someone@example.com', MagicDNSSuffix: 'tailnet.example' }
}

const PONGS: Record<string, object> = {
  '100.64.0.2': { IP: '100.64.0.2', LatencySeconds: 0.00123, Endpoint: '192.0.2.7:41641' },
  '100.64.0.3': { IP: '100.64.0.3', LatencySeconds: 0.0301, DERPRegionID: 4, DERPRegionCode: 'fra' }
}

const someone = { LoginName: 'someone@example.com', DisplayName: 'Someone' }
const DESK = { Node: { Name: 'desk.tailnet.example.', Tags: null }, UserProfile: someone }
const WHOIS: Record<string, object> = {
  '100.64.0.1': { Node: { Name: 'home.tailnet.example.' }, UserProfile: someone },
  '100.64.0.2:5000': DESK,
  '100.64.0.2': DESK,
  'fd7a:115c:a1e0::2': DESK,
  '100.64.0.3': { Node: { Name: 'attic.tailnet.example.', Tags: ['tag:server'] }, UserProfile: someone },
  '100.64.0.4': {
    Node: { Name: 'phone.tailnet.example.' },
    UserProfile: { LoginName: 'other@example.com', DisplayName: 'Other' }
  }
}

/** Speaks on a real socket as tailscaled does; `status` is what it says next. */
export async function startLocalApi(path: string, status: object = RUNNING) {
  const asked: string[] = []
  const api = { status, asked, stop: async () => void server.close() }
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    if (request.headers.host !== 'local-tailscaled.sock' || request.headers.origin || request.headers.referer)
      return void response.writeHead(403).end('invalid localapi request\n')
    const url = new URL(request.url ?? '', 'http://local-tailscaled.sock')
    const who = WHOIS[url.searchParams.get('addr') ?? '']
    const json = (body: unknown) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body, null, '\t'))
    switch (`${request.method} ${url.pathname}`) {
      case 'GET /localapi/v0/status':
        return void json(api.status)
      case 'POST /localapi/v0/ping':
        return void json(PONGS[url.searchParams.get('ip') ?? ''] ?? { Err: 'no reply' })
      case 'GET /localapi/v0/whois':
        return who ? void json(who) : void response.writeHead(404).end('no match for IP:port\n')
      default:
        response.writeHead(404).end('404 not found\n')
    }
  }).listen(path)
  await once(server, 'listening')
  return api
}
