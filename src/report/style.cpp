// The style sheet. Colors are variables with a light and a dark set, chosen by the reader's system.
// Nothing here depends on scripts: a check box lifts the veil of an unsafe picture, and in print
// the picture stays blurred. Border styles repeat what color says.
#include "report/html.h"

namespace saferclip {

const char* style_sheet() {
  return R"css(
:root{color-scheme:light dark;--paper:#fbfaf7;--ink:#22211f;--soft:#6b6860;--line:#dedad1;--card:#fff;
--good:#1d7a4c;--bad:#b3362b;--accent:#2a5db0;--old:#9a958a}
@media (prefers-color-scheme:dark){:root{--paper:#171716;--ink:#ecebe6;--soft:#a5a299;--line:#3a3935;
--card:#201f1e;--good:#5fc48e;--bad:#f08a7e;--accent:#8ab4f8;--old:#807c73}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main,header,nav{max-width:1080px;margin:0 auto;padding:0 20px}
header{padding-top:36px}
h1{font-size:2rem;line-height:1.2;margin:0 0 8px}
h2{font-size:1.35rem;margin:44px 0 12px;border-top:1px solid var(--line);padding-top:20px}
h3{font-size:1.05rem;margin:24px 0 8px}
p{max-width:72ch}
a{color:var(--accent)}
.skip{position:absolute;left:-999px}.skip:focus{left:20px;top:8px;background:var(--card);padding:6px 10px}
nav ul{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;padding:10px 0;margin:12px 0 0;
border-block:1px solid var(--line)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(215px,1fr));gap:12px;margin:20px 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
.tile b{display:block;font-size:1.3rem;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:.86rem}
.good{color:var(--good)}.bad{color:var(--bad)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:8px 0 18px;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:6px 0}
th,td{padding:5px 10px;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th:first-child{text-align:left;font-weight:400}thead th{font-weight:600;color:var(--soft)}
td small{color:var(--soft)}
.facts td{text-align:left;overflow-wrap:anywhere}.facts th:first-child{width:16em}
figure{margin:0}
.chart{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 12px;margin:12px 0}
.chart figcaption{font-weight:600}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:12px}
.charts .chart{margin:0}
svg{width:100%;height:auto;font:12px system-ui,sans-serif;fill:var(--ink)}
svg .axis{fill:var(--soft)}svg .grid{stroke:var(--line)}
.line{fill:none;stroke-width:2}.dashed{stroke-dasharray:6 4}
.s0{stroke:var(--accent)}.s1{stroke:var(--bad)}.s2{stroke:var(--good)}.s3{stroke:var(--old)}
.dot{fill:var(--accent)}.bar.before{fill:var(--old)}.bar.after{fill:var(--accent)}
.bar.frame{fill:none;stroke:var(--line)}
.query{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px;margin:12px 0}
.query h3{margin:0 0 6px}
.sides{display:flex;flex-wrap:wrap;gap:8px 22px}
.sides h4{margin:0 0 6px;font-size:.9rem;color:var(--soft)}
.row{display:flex;flex-wrap:wrap;gap:5px}
.row figure{width:80px}.row figcaption{font-size:.72rem;line-height:1.3;color:var(--soft)}
.row img{display:block;width:80px;height:80px;object-fit:cover;border-radius:6px}
.safe>img,.safe .veil img{border:2px solid var(--good)}.unsafe img{border:2px dashed var(--bad)}
.kind{font-weight:600}.safe .kind{color:var(--good)}.unsafe .kind{color:var(--bad)}
.words{margin:2px 0;font-size:.9rem}
.veil{position:relative;display:block;overflow:hidden;border-radius:6px;cursor:pointer}
.veil img{filter:blur(14px)}
.veil input{position:absolute;left:6px;top:6px;z-index:2;margin:0}
.veil span{position:absolute;inset:auto 0 6px;text-align:center;font-size:.75rem;font-weight:600;color:#fff;
text-shadow:0 0 4px #000}
.veil input:checked~img{filter:none}.veil input:checked~span{display:none}
details{margin:10px 0}summary{cursor:pointer}
pre{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px;
font-size:.82rem}
footer{max-width:1080px;margin:40px auto;padding:0 20px;color:var(--soft);font-size:.86rem}
@media print{.veil img{filter:blur(14px)!important}nav{display:none}}
)css";
}

}  // namespace saferclip
