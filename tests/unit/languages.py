"""A passage for each of several languages, with the encodings of before Unicode that it was written in.

The passages are the first article of the Universal Declaration of Human Rights, and a sentence of office life.
"""

from typing import Final

# Languages that are read in windows-1252.
WESTERN: Final = {
    "German": (
        "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen "
        "begabt und sollen einander im Geist der Brüderlichkeit begegnen. Die Kündigungsfrist beträgt drei "
        "Monate für Führungskräfte, für die übrigen Beschäftigten gemäß § 5 nur vier Wochen. Größe und "
        "Straße der Büros stehen im Anhang."
    ),
    "French": (
        "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison "
        "et de conscience et doivent agir les uns envers les autres dans un esprit de fraternité. L'employé "
        "a droit à vingt-cinq jours de congés payés par an, et la durée du préavis est fixée à un mois après "
        "la période d'essai."
    ),
    "Spanish": (
        "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de "
        "razón y conciencia, deben comportarse fraternalmente los unos con los otros. ¿Cuántos días de "
        "vacaciones tiene cada año un empleado? Según la política de la compañía son veintidós días, más los "
        "días festivos."
    ),
    "Portuguese": (
        "Todos os seres humanos nascem livres e iguais em dignidade e em direitos. Dotados de razão e de "
        "consciência, devem agir uns para com os outros em espírito de fraternidade. O funcionário não pode "
        "transferir as férias para o ano seguinte sem a aprovação da direção, e o prazo é de trinta dias "
        "úteis."
    ),
    "Italian": (
        "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono dotati di ragione e "
        "di coscienza e devono agire gli uni verso gli altri in spirito di fratellanza. La durata delle "
        "ferie è di ventidue giorni; per ogni attività più lunga la società può chiedere un'approvazione."
    ),
    "Swedish": (
        "Alla människor är födda fria och lika i värde och rättigheter. De är utrustade med förnuft och "
        "samvete och bör handla gentemot varandra i en anda av broderskap. Varje anställd har rätt till "
        "tjugofem dagars semester per år."
    ),
    "Danish": (
        "Alle mennesker er født frie og lige i værdighed og rettigheder. De er udstyret med fornuft og "
        "samvittighed, og de bør handle mod hverandre i en broderskabets ånd. Alle ansatte har ret til fem "
        "ugers ferie om året på fuld løn."
    ),
    "English": (
        "All human beings are born free and equal in dignity and rights – “endowed with reason and "
        "conscience” – and it’s how they should act towards one another. The café on the second floor is "
        "open from 8 to 17; a menu costs 9 €, and no résumé is kept for more than six months after it was "
        "sent."
    ),
}
# Encodings of others: whatever they are read in must be right, or nothing at all.
OTHERS: Final = {
    ("Polish", "cp1250"): (
        "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni "
        "rozumem i sumieniem i powinni postępować wobec innych w duchu braterstwa. Każdy pracownik ma prawo "
        "do urlopu."
    ),
    ("Czech", "cp1250"): (
        "Všichni lidé se rodí svobodní a sobě rovní co do důstojnosti a práv. Jsou nadáni rozumem a svědomím "
        "a mají spolu jednat v duchu bratrství. Každý zaměstnanec má nárok na pět týdnů dovolené."
    ),
    ("Hungarian", "cp1250"): (
        "Minden emberi lény szabadon születik és egyenlő méltósága és joga van. Az emberek, ésszel és "
        "lelkiismerettel bírván, egymással szemben testvéri szellemben kell hogy viseltessenek."
    ),
    ("Romanian", "cp1250"): (
        "Toate fiinţele umane se nasc libere şi egale în demnitate şi în drepturi. Ele sunt înzestrate cu "
        "raţiune şi conştiinţă şi trebuie să se comporte unele faţă de altele în spiritul fraternităţii."
    ),
    ("Turkish", "cp1254"): (
        "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler ve "
        "birbirlerine karşı kardeşlik zihniyeti ile hareket etmelidirler."
    ),
    ("Russian", "cp1251"): (
        "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и "
        "совестью и должны поступать в отношении друг друга в духе братства."
    ),
    ("Russian", "koi8_r"): (
        "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и "
        "совестью и должны поступать в отношении друг друга в духе братства."
    ),
    ("Greek", "cp1253"): (
        "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι "
        "προικισμένοι με λογική και συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα "
        "αδελφοσύνης."
    ),
    ("Thai", "cp874"): (
        "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ"
    ),
    ("Arabic", "cp1256"): (
        "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق وقد وهبوا عقلا وضميرا وعليهم أن يعامل بعضهم بعضا بروح الإخاء"
    ),
    ("Lithuanian", "cp1257"): (
        "Visi žmonės gimsta laisvi ir lygūs savo orumu ir teisėmis. Jiems suteiktas protas ir sąžinė ir jie "
        "turi elgtis vienas kito atžvilgiu kaip broliai."
    ),
}
EAST_ASIAN: Final = {
    ("Chinese", "gbk"): (
        "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相"
        "对待。员工每年有十二天年假,试用期为两个月,工资于每月五日发放。"
    ),
    ("Chinese, traditional", "big5"): (
        "人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心,並應以兄弟關係的精神相"
        "對待。員工每年有十二天年假,試用期為兩個月。"
    ),
    ("Japanese", "cp932"): (
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等であ"
        "る。人間は、理性と良心とを授けられており、互いに同胞の精神をもって行動しなければならない。"
    ),
    ("Japanese", "euc_jp"): (
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等であ"
        "る。人間は、理性と良心とを授けられており、互いに同胞の精神をもって行動しなければならない。"
    ),
    ("Korean", "cp949"): (
        "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 이성과 "
        "양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다."
    ),
}
