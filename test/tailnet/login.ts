/**
 * `login.ts URL`, run on a machine of the tailnet: what a browser there does. Prints as JSON what `/login` answers, and
 * whether the session that it gave may ask what the cluster is.
 */
const url = process.argv[2] as string
const login = await fetch(`${url}/login`, { redirect: 'manual' })
const cookie = login.headers.get('set-cookie')?.split(';')[0]
const pageToken = login.headers.get('location')?.split('#page=')[1]
const session = cookie && pageToken ? { cookie, 'x-sc-page': pageToken } : {}
const info = await fetch(`${url}/api/cluster/info`, { headers: session as Record<string, string> })
const detail = login.status === 303 ? '' : ((await login.json()) as { detail: string }).detail
process.stdout.write(JSON.stringify({ login: login.status, info: info.status, detail }))
