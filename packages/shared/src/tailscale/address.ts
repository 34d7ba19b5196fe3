/** 100.64.0.0/10 and fd7a:115c:a1e0::/48 are Tailscale's. */
export function isTailnetAddress(address: string): boolean {
  const [, second = ''] = /^100\.(\d+)\./.exec(address) ?? []
  return (second !== '' && Number(second) >= 64 && Number(second) < 128) || /^fd7a:115c:a1e0:/i.test(address)
}
