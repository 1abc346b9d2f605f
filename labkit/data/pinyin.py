"""Pinyin of the Mandarin grammar's characters, checked by hand; homographs get theirs from the grammar."""

from __future__ import annotations

import re

_TABLE = """
    an1安 ba1八 ba3把 ba4爸 bai2白 bai3百 ban1搬班 ban3板 ban4办半瓣 bao1包 bao3保宝
    bao4报 bei1杯 bei3北 bei4被 ben3本 bi2鼻 bi3比笔 bi4壁毕 bian1边 bian3扁
    bian4辫遍 biao3表 bie2别 bing1兵 bing4病 bo1玻 bo2脖 bu4不步部 ca1擦 cai3彩
    cai4菜 can2残 cha2察茶 chang2尝常 chang4唱 chen2臣 cheng2城成 chi1吃 chu1出
    chu2厨 chu3楚 chuan1川 chuang1窗 chuang2床 chui2垂 chun1春 ci2词 ci4刺次
    cong2从 cun1村 cun4寸 cuo4错 da3打 da4大 dai4代带袋 dan1单 dan4担蛋 dao3导
    dao4到盗道 de5得的 deng1灯 di1低 di2敌 di3底 di4地帝弟递 dian3点 dian4店殿电
    diao4掉钓 die2谍 ding1钉 ding3顶 ding4定 dong1东冬 dong4动 dou4豆 du2读 du4度
    duan3短 duan4断 dui4对队 duo1多 duo3朵 e4饿 er2儿 er3耳 er4二 fa3法 fa4发
    fan2烦 fan4犯饭 fang1方 fang2房 fang4放 fei1非飞 fei3匪 fen1分 feng1风 fu1肤
    fu2服符 fu3府腐 gai3改 gai4概盖 gan1干竿 gang1钢 gao1糕高 ge1哥歌 ge2格 ge4个
    gei3给 geng4更 gong1公宫工 gou3狗 gu3古股骨 gua1刮瓜 guai4怪 guan1官 guan3管馆
    guang3广 gui4柜贵 gun4棍 guo2国 guo3果裹 guo4过 hai2孩 hai3海 hai4害 han4汉
    hao3好 hao4号 he1喝 he2何和河盒 hei1黑 hen3很 hong2红 hou2侯猴 hou4候后 hu1呼忽
    hu2湖狐胡 hu3虎 hu4户护 hua1花 hua4化画话 huai4坏 huan1欢 huan4换 huang2皇黄
    hui1灰 hui2回 hui4会 huo3火 ji1机激鸡 ji2吉急疾 ji3几己 ji4记 jia1家 jia4价
    jian1尖间 jian3剪捡 jian4见 jiang1将 jiao1交蕉 jiao3脚饺 jiao4叫教 jie1接
    jie2结节 jie3姐 jie4借 jin1今巾斤金 jin3紧 jin4近进 jing1京睛经 jing3警 jing4净镜静
    jiu3久九酒 jiu4就 ju1居 ju2局 ju3举 ju4剧句 jun1军 kai1开 kan4看 kao3考 ke3可
    ke4克客课 kou3口 kou4扣 ku1哭 ku4裤 kuai4块快筷 la3喇 lai2来 lan2蓝 lao3老 le5了
    lei4累 leng3冷 li2狸璃 li3李理里 li4利力历厉 liang2凉粮 liang3两 liang4亮量 lin2邻
    ling2龄 ling3领 liu2流留 liu4六 long2笼 lu1噜 lu4路露 lun2伦 luo4骆 lv3旅
    lv4律绿 ma1妈 ma2麻 ma3码马 ma5吗嘛 mai3买 mai4卖麦 man3满 mao1猫 mao2毛 mao4帽
    me5么 mei2没 mei3每美 mei4妹 men2门 men5们 meng4梦 mi3米 mi4秘 mian4面 mie4灭
    min2民 ming2名明 mo1摸 mo2磨 mo4末 mu4幕木牧目 na2拿 na4那 nai3奶 nan2南难 nao3脑
    nao4闹 nei4内 neng2能 ni3你 nian2年 niao3鸟 niu2牛 nong2农 pa2琶 pa4帕怕
    pai1拍 pai4派 pan2盘 pan4叛 pao3跑 pao4炮 peng2朋篷 peng4碰 pi2琵皮 pian2便
    pian4骗 piao4漂票 ping2屏苹 po4破 pu2葡 pu3普 qi1七期 qi2其奇旗棋齐 qi3起 qi4气
    qian1签迁铅 qian2前钱 qian4欠歉 qiang1枪 qiang2墙强 qin2琴 qing1清青 qiu1秋
    qiu2球 qu3曲 qu4去 qun2裙 ran2然 rang4让 re4热 ren2人 ri4日 rong2容 rou4肉
    san1三 san3伞 san4散 se4色 shan1山 shang1伤商 shang4上 shao3少 she2舌 she4舍
    shen1身 shen2什 sheng1生 sheng2绳 shi1失师诗 shi2十实时石食 shi3使史 shi4士室市是
    shi5匙 shou1收 shou3守手首 shou4受授 shu1书 shu3鼠 shu4数束树竖 shui2谁 shui3水
    shui4睡 shuo1说 si1丝司思 si4四 song1松 song4宋送 su4宿速 sui2随 sui4岁 sun3笋
    suo1缩 suo3所 ta1他她 tai2台抬 tai4太 tan3坦 tang1汤 tang2唐堂 tao2桃萄逃 te4特
    teng2疼 ti2提题 ti3体 tian1天 tian2甜田 tiao4跳 tie3铁 ting1听 ting2停廷
    tong1通 tong2同 tong3统 tou1偷 tou2头 tu1突 tu2图 tu3土 tu4兔 tuan2团 tui3腿
    tuo1拖 tuo2驼 wa1蛙 wai4外 wan2完 wan3晚 wan4万 wang2王 wang4忘 wei1微 wei2围
    wei3尾 wei4为位味 wen1温 wen2文闻 wen4问 wo3我 wu1屋 wu3五伍午舞 wu4物雾 xi1息惜西
    xi3喜洗 xi4戏 xia4下夏 xian1先 xian2弦 xian4现线 xiang1箱香 xiang3响想 xiang4像象
    xiao1消 xiao3小 xiao4校笑 xie1些 xie2鞋 xie3写 xie4谢 xin1心新 xin4信 xing1星
    xing3醒 xing4兴 xiong2熊雄 xiu1修 xiu4袖 xue2学 xue3雪 xue4血 ya1压鸭 ya2衙
    yan2言颜 yan3演眼 yang2洋羊阳 yao1腰 yao2谣 yao4要钥 ye2爷 ye3也 ye4业叶夜 yi1一医衣
    yi2宜 yi3以已椅 yi4意易艺 yin1音 yin2银 ying1婴英 ying2迎 ying3影 ying4硬 yong3泳
    yong4用 you2油游邮 you3友有 you4又 yu2于鱼 yu3雨 yuan2员园圆 yuan3远 yuan4院
    yue4月越 yun2云 zai4再在 zao3早 zen3怎 zhan4战站 zhang1张章 zhang3涨 zhang4仗帐
    zhao3找 zhao4照 zhe3者 zhe4这 zhe5着 zhen1真针 zheng1筝 zheng3整 zhi1只枝知织
    zhi3指纸 zhong1中终钟 zhong4种 zhou1周州 zhu1诸 zhu2竹 zhu3主 zhu4住助 zhuang4撞
    zhuo1桌 zi3紫 zi4字自 zi5子 zong3总 zou3走 zou4奏 zu1租 zui4最 zuo2昨 zuo3左
    zuo4作做
"""

# Words in which a character is not read as the table has it.
_WORDS = {
    "干部": "gan4 bu4", "数钱": "shu3 qian2", "石头": "shi2 tou5", "骨头": "gu3 tou5", "舌头": "she2 tou5",
    "木头": "mu4 tou5", "着急": "zhao2 ji2", "间谍": "jian4 die2", "星期一": "xing1 qi1 yi1", "只有": "zhi3 you3",
}  # fmt: skip

CHARACTERS = {
    character: syllable
    for syllable, characters in re.findall(r"([a-z]+\d)(\S+)", _TABLE)
    for character in characters
}


def pinyin(text: str) -> list[tuple[str, str]]:
    """Characters with their pinyin, (character, syllable with tone number), 一 and 不 in the tone they take there.

    Spaces are dropped. Raises ValueError for a character the grammar does not know.
    """
    text = text.replace(" ", "")
    syllables: list[str] = []
    fixed: list[bool] = []
    position = 0
    while position < len(text):
        word = next((w for w in _WORDS if text.startswith(w, position)), None)
        if word:
            syllables += _WORDS[word].split()
        elif text[position] in CHARACTERS:
            syllables.append(CHARACTERS[text[position]])
        else:
            raise ValueError(
                f"no pinyin for {text[position]!r} in {text!r}: add it to the table in {__name__}"
            )
        fixed += [bool(word)] * (len(word) if word else 1)
        position = len(syllables)
    for i, character in enumerate(text):
        if fixed[i] or character not in "一不":
            continue
        following = syllables[i + 1][-1] if i + 1 < len(text) else "2"
        if character == "一":
            syllables[i] = "yi2" if following == "4" else "yi4"
        elif following == "4":
            syllables[i] = "bu2"
    return list(zip(text, syllables, strict=True))
