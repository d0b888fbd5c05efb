# SPDX-License-Identifier: GPL-2.0
"""The look of a report: light, dark, on a phone and on paper."""

CSS = """
:root{color-scheme:light dark;--page:#f3f5f8;--card:#fff;--ink:#1b2330;--soft:#5a6575;
--line:#e2e7ee;--axis:#aab4c2;--use:#2f6bd8;--idle:#a9c5f3;--free:#e6eaf0;--limit:#c3342b;
--map:#2f6bd8;--unmap:#dd8a17;--hit:#23936a;--miss:#dd8a17;--bell:#dd8a17;--good:#1d7f59;
--warn:#9a6200;--bad:#c3342b}
@media (prefers-color-scheme:dark){:root{--page:#10141a;--card:#191f28;--ink:#e7ebf1;
--soft:#9aa6b6;--line:#2a3340;--axis:#566273;--use:#5f9bff;--idle:#2d4f86;--free:#242c37;
--limit:#ff7468;--map:#5f9bff;--unmap:#f0a63c;--hit:#46bf8f;--miss:#f0a63c;--bell:#f0a63c;
--good:#46bf8f;--warn:#f0a63c;--bad:#ff7468}}
@media print{:root{color-scheme:light;--page:#fff;--card:#fff;--ink:#000;--soft:#444;
--line:#ddd;--axis:#888;--use:#2f6bd8;--idle:#a9c5f3;--free:#e6eaf0;--limit:#c3342b;
--map:#2f6bd8;--unmap:#dd8a17;--hit:#23936a;--miss:#dd8a17;--bell:#dd8a17;--good:#1d7f59;
--warn:#9a6200;--bad:#c3342b}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1640px;margin:0 auto;padding:24px 20px 40px}
h1{font-size:26px;margin:0}h2{font-size:21px;margin:34px 0 0}h3{font-size:16px;margin:0 0 2px}
.sub{color:var(--soft);margin:2px 0 14px}
.state{font-style:normal;font-size:14px;font-weight:600;border:1px solid;border-radius:99px;
padding:1px 10px;margin-left:6px;vertical-align:2px}
.green{color:var(--good)}.yellow{color:var(--warn)}.red{color:var(--bad)}
.remark{border-left:4px solid var(--warn);background:var(--card);padding:8px 12px;margin:10px 0}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:12px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.tile b{display:block;font-size:25px;line-height:1.2;font-weight:650}
.tile span{color:var(--soft);font-size:14px}.tile small{display:block;color:var(--soft)}
.tile.bad b{color:var(--bad)}
.verdict{background:var(--card);border:1px solid var(--line);border-left:5px solid;
border-radius:10px;padding:10px 16px}
.verdict h2{margin:0}.verdict pre{color:var(--ink);margin:6px 0 0}.dim{color:var(--soft)}
.findings h2{font-size:16px;margin:24px 0 0}.findings pre{margin:6px 0 0}
.summary{margin:16px 0;padding-left:20px}.summary li{margin:3px 0}
.summary li:first-child{font-weight:600}
.plots{display:grid;grid-template-columns:1fr 1fr;gap:14px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:14px 16px;break-inside:avoid;min-width:0}
figcaption,.none{color:var(--soft);font-size:14px;margin:6px 0 0}
.legend{margin:0 0 4px;color:var(--soft);font-size:14px}.legend span{margin-right:16px}
.swatch{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;
vertical-align:-1px;print-color-adjust:exact;-webkit-print-color-adjust:exact}
svg{display:block;width:100%;height:auto;print-color-adjust:exact;
-webkit-print-color-adjust:exact}
svg.narrow{display:none}
svg text{font-family:inherit;font-size:12px;fill:var(--soft)}svg.wide text{font-size:13px}
svg .count{fill:var(--ink);font-weight:600}
svg .limit-text{fill:var(--limit);font-weight:600}
.grid{stroke:var(--line)}.axis{stroke:var(--axis)}
.limit{stroke:var(--limit);stroke-width:1.6;stroke-dasharray:6 4}
i.limit{background:var(--limit);height:3px;vertical-align:3px}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}
.line.map{stroke:var(--map)}.line.bell{stroke:var(--bell)}
.area.use,.bar.use,i.use,.cell.use{fill:var(--use);background:var(--use)}
.area.idle,i.idle,.cell.idle{fill:var(--idle);background:var(--idle)}
.cell.free,i.free{fill:var(--free);background:var(--free)}
.part1{opacity:.45}.part2{opacity:.62}.part3{opacity:.8}
.bar.map,i.map{fill:var(--map);background:var(--map)}
.bar.unmap,i.unmap{fill:var(--unmap);background:var(--unmap)}
.bar.hit,i.hit{fill:var(--hit);background:var(--hit)}
.bar.miss,i.miss{fill:var(--miss);background:var(--miss)}i.bell{background:var(--bell)}
details{margin-top:14px}summary{cursor:pointer;color:var(--soft)}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:14px;margin-top:8px}
th,td{text-align:right;padding:3px 12px;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left;padding-left:0}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:13px}
footer{color:var(--soft);font-size:14px;margin-top:30px}
@media (max-width:1100px){svg.wide{display:none}svg.narrow{display:block}}
@media (max-width:860px){.plots{grid-template-columns:1fr}svg.wide{display:block}
svg.narrow{display:none}}
@media (max-width:620px){main{padding:16px 12px 30px}.tiles{grid-template-columns:1fr 1fr}
.tile b{font-size:21px}figure{padding:12px 10px}svg.wide{display:none}svg.narrow{display:block}}
@media print{body{font-size:11pt}main{padding:0;max-width:none}.plots{grid-template-columns:1fr 1fr}
.tiles{grid-template-columns:repeat(4,1fr)}svg.wide{display:none}svg.narrow{display:block}
details{display:none}figure,.tile{border-color:#ccc}h2{break-after:avoid}}
"""
