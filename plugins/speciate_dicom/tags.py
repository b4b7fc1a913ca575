"""What may remain of a file when it is de-identified: an allow-list, because what nobody thought of has to go.

PS3.15's basic profile says what to do with 400 attributes and keeps the others. This list is stricter: numbers that
describe the picture and how it was taken, codes out of a closed vocabulary, tables of pixel values, four dates
(shifted) and four UIDs (replaced). Free text, names, private attributes, overlays and curves are never on it.
"""

from __future__ import annotations

__all__ = ["CODES", "DATES", "NUMBERS", "PATIENT", "TABLES", "UIDS", "WORDS", "kept"]


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBERS = words(
    """
    AcquisitionMatrix AcquisitionNumber BitsAllocated BitsStored BodyPartThickness Columns
    CompressionForce CTDIvol DataCollectionDiameter DiffusionBValue DistanceSourceToDetector DistanceSourceToPatient
    DoseGridScaling EchoNumbers EchoTime EchoTrainLength EffectiveEchoTime ExposedArea Exposure ExposureInuAs
    ExposureTime ExposureTimeInuS FlipAngle FocalSpots FrameTime GantryDetectorTilt GridFrameOffsetVector
    HighBit ImageOrientationPatient ImagePositionPatient ImagerPixelSpacing ImagingFrequency InstanceNumber
    InversionTime KVP LargestImagePixelValue MagneticFieldStrength NominalScannedPixelSpacing NumberOfAverages
    NumberOfPhaseEncodingSteps NumberOfTemporalPositions PercentPhaseFieldOfView PercentSampling PixelAspectRatio
    PixelBandwidth PixelPaddingRangeLimit PixelPaddingValue PixelRepresentation PixelSpacing PlanarConfiguration
    PositionerPrimaryAngle PositionerSecondaryAngle ReconstructionDiameter RepetitionTime RescaleIntercept RescaleSlope
    RevolutionTime Rows SamplesPerPixel SAR SliceLocation SliceThickness SmallestImagePixelValue SpacingBetweenSlices
    SpiralPitchFactor TemporalPositionIdentifier TemporalPositionIndex TriggerTime WindowCenter WindowWidth
    XRayTubeCurrent XRayTubeCurrentInuA
    """
)

CODES = words(
    """
    AcquisitionType AnatomicalOrientationType BodyPartExamined BurnedInAnnotation ComplexImageComponent ConversionType
    ImageLaterality ImageType Laterality LossyImageCompression MRAcquisitionType Modality PatientPosition
    PhotometricInterpretation PixelIntensityRelationship PresentationIntentType PresentationLUTShape RescaleType
    ScanningSequence SequenceVariant Units ViewPosition VOILUTFunction VolumetricProperties
    """
)

WORDS = words(
    """
    AR ASMT AU BDUS BI BMD CR CT CTPROTOCOL DG DX ECG EPS ES FID GM HC HD IO IOL IVOCT IVUS KER KO LEN LS MG MR MRI NM
    OAM OCT OP OPM OPT OPV OSS OT PLAN PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTPLAN RTRECORD RTSTRUCT RWV SC SEG SM SMR
    SR SRF STAIN TG US VA XA XC
    MONOCHROME1 MONOCHROME2 RGB YBR_FULL YBR_FULL_422 YBR_ICT YBR_RCT YBR_PARTIAL_420 YBR_PARTIAL_422
    HFP HFS HFDR HFDL FFDR FFDL FFP FFS LFP LFS RFP RFS AFDR AFDL PFDR PFDL BIPED QUADRUPED L R B U AP PA LL RL RLD LLD
    RLO LLO CC MLO ML LM LMO XCC XCCL XCCM FB SIO ISO AXIAL CORONAL SAGITTAL OBLIQUE
    ORIGINAL DERIVED PRIMARY SECONDARY LOCALIZER OTHER NONE MIXED REFORMATTED MPR PROJECTION MIP MINIP MEAN AVERAGE
    RESAMPLED VOLUME CT_VOL SCOUT TOPOGRAM HELIX SEQUENCE STATIC DYNAMIC GATED TOMO RECON WHOLE_BODY BURNED
    M P M_SE M_FFE M_IR M_B0 PHASE MAGNITUDE PHASE_MAP REAL IMAGINARY ADC TRACEW FA DIFFUSION PERFUSION DIS2D DIS3D ND
    NORM IP OP W F WATER FAT IN_PHASE OUT_PHASE T1 T2 T2_STAR PROTON_DENSITY SUB SUBTRACTION MOSAIC FM FMRI ANGIO TOF
    SE IR GR EP RM SK MTC SS TRSS SP MP OSP 2D 3D LINEAR LINEAR_EXACT SIGMOID IDENTITY INVERSE LIN LOG YES NO 00 01
    HU OD US HU_MOD MGML Z_EFF ED EDW PCT PER_CM CNTS BQML PROPCNTS CM2ML PROPCPS MLMING MLMINML GML SUV GRAY
    DV DI DRW SD DF WSD SI DISTORTED SAMPLED SPIRAL SEQUENCED CONSTANT_ANGLE
    STATIONARY FREE UNSPECIFIED
    ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA ARM AXILLA BACK BLADDER BRAIN BREAST BRONCHUS BUTTOCK CALCANEUS CALF
    CAROTID CEREBELLUM CERVIX CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CIRCLEOFWILLIS CLAVICLE COCCYX COLON CORNEA
    CORONARYARTERY CSPINE CTSPINE DUODENUM EAR ELBOW ESOPHAGUS EXTREMITY EYE EYELID FACE FEMUR FINGER FOOT GALLBLADDER
    HAND HEAD HEADNECK HEART HIP HUMERUS ILEUM ILIUM IAC JAW JEJUNUM KIDNEY KNEE LARYNX LEG LIVER LSPINE LSSPINE LUMBAR
    LUNG MANDIBLE MAXILLA MEDIASTINUM MOUTH NECK NECKCHEST NOSE ORBIT OVARY PANCREAS PAROTID PATELLA PELVIS PENIS
    PHARYNX PROSTATE RADIUS RADIUSULNA RECTUM RIB SACRUM SCALP SCAPULA SCLERA SCROTUM SHOULDER SIJOINT SINUS SKULL SPINE
    SPLEEN SSPINE STERNUM STOMACH SUBMANDIBULAR TARSUS TESTIS THIGH THORAX THUMB THYMUS THYROID TIBIA TIBIAFIBULA
    TLSPINE TMJ TOE TONGUE TRACHEA TSPINE ULNA URETER URETHRA UTERUS VAGINA VULVA WHOLEBODY WRIST ZYGOMA
    """
) | {"PALETTE COLOR", "FOR PRESENTATION", "FOR PROCESSING", "CT_SOM5 SPI", "CT_SOM5 SEQ", "WHOLE BODY"}

DATES = frozenset({"AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate"})  # shifted

UIDS = frozenset({"FrameOfReferenceUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"})  # replaced

COLOURS = ("Red", "Green", "Blue")
TABLES = frozenset(
    {"ModalityLUTSequence", "VOILUTSequence", "LUTDescriptor", "LUTData"}
    | {f"{colour}PaletteColorLookupTable{part}" for colour in COLOURS for part in ("Descriptor", "Data")}
    | {f"Segmented{colour}PaletteColorLookupTableData" for colour in COLOURS}
)

PATIENT = frozenset({"PatientAge", "PatientSex", "PatientSize", "PatientWeight"})  # as columns, where one asks for them


def kept() -> frozenset[str]:
    """Every attribute that a column may show without `keep_phi`."""
    return NUMBERS | CODES | DATES | UIDS | PATIENT | {"SOPClassUID"}
